import type { Schedules } from '../optimizer/optimizer.js';
import type { GroupState } from './training-state.js';

/** What became of a slot. */
export interface AdaptedSlot {
  readonly name: string;
  /** Seeded: as if the mean gradient so far had been the only one. */
  readonly outcome: 'kept' | 'renamed' | 'initialized' | 'seeded' | 'dropped';
  /** The name it had, if renamed. */
  readonly from?: string;
  /** What it was multiplied by, so that its bias-corrected value stays the same. */
  readonly factor?: number;
  /** What it was filled with, if initialized. */
  readonly initial?: number;
}

/** What became of a parameter. */
export interface AdaptedParameter {
  readonly name: string;
  readonly outcome: 'kept' | 'added' | 'removed' | 'frozen';
  /** Its updates as bias correction counts them, in the saved state and in the adapted one, where it is there. */
  readonly updates: { readonly from?: number; readonly to?: number };
  readonly slots: readonly AdaptedSlot[];
}

/** A hyperparameter that has another value than in the saved state; an end is missing where the optimizer has none. */
export interface ChangedHyperparameter {
  readonly name: string;
  readonly from?: number | boolean;
  readonly to?: number | boolean;
}

/** What {@link adaptState} did to a state, as data. */
export interface AdaptReport {
  readonly optimizer: { readonly from: string; readonly to: string };
  readonly hyperparameters: readonly ChangedHyperparameter[];
  /** Where they differ from the saved ones. */
  readonly groups?: { readonly from: readonly GroupState[]; readonly to: readonly GroupState[] };
  /** Where they differ from the saved ones. */
  readonly schedules?: { readonly from: Schedules; readonly to: Schedules };
  /** The step of the run, which stays. */
  readonly step: number;
  readonly parameters: readonly AdaptedParameter[];
}

/** The report as lines for people; parameters with the same fate share one. */
export function formatAdaptReport(report: AdaptReport): string[] {
  const { optimizer, hyperparameters, groups, schedules, step, parameters } = report;
  const { from, to } = optimizer;
  const values = hyperparameters.map(({ name, from: before, to: after }) => `${name} ${transition(before, after)}`);
  const fates = new Map<string, string[]>();
  for (const parameter of parameters) {
    const text = fate(parameter);
    fates.set(text, [...(fates.get(text) ?? []), parameter.name]);
  }
  return [
    `optimizer: ${from === to ? to : `${from} -> ${to}`}, at step ${step}`,
    `hyperparameters: ${values.join(', ') || 'as they were'}`,
    ...(groups ? [`groups: ${groups.from.length} saved, ${groups.to.length} now`] : []),
    ...(schedules ? [`schedules: ${scheduled(schedules.from)} saved, ${scheduled(schedules.to)} now`] : []),
    ...[...fates].map(([text, names]) => `${someNames(names)}: ${text}`),
  ];
}

function scheduled(schedules: Schedules): string {
  return Object.keys(schedules).join(', ') || 'none';
}

function fate({ outcome, updates, slots }: AdaptedParameter): string {
  const counted = outcome === 'kept' && updates.from !== updates.to;
  const parts = [
    ...(counted ? [`updates ${transition(updates.from, updates.to)}`] : []),
    ...slots.map((slot) => `${slot.name} ${slotFate(slot)}`),
  ];
  return `${outcomes[outcome]}${parts.length === 0 ? '' : `; ${parts.join(', ')}`}`;
}

const outcomes: Readonly<Record<AdaptedParameter['outcome'], string>> = {
  kept: 'kept',
  added: 'added, starts afresh',
  removed: 'removed',
  frozen: 'frozen, its value handed back',
};

function slotFate({ outcome, from, factor, initial }: AdaptedSlot): string {
  const scale = factor === undefined ? '' : ` times ${factor.toPrecision(3)}`;
  switch (outcome) {
    case 'kept':
      return `kept${scale}`;
    case 'renamed':
      return `taken from ${from ?? ''}${scale}`;
    case 'initialized':
      return `starts at ${initial ?? 0}`;
    case 'seeded':
      return 'from the mean gradient';
    case 'dropped':
      return 'dropped';
  }
}

function transition(from: number | boolean | undefined, to: number | boolean | undefined): string {
  return to === undefined ? 'gone' : from === undefined ? `= ${to}` : `${from} -> ${to}`;
}

/** The first few of many names. */
function someNames(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((name) => `"${name}"`);
  return names.length <= 4 ? shown.join(', ') : `${shown.join(', ')} and ${names.length - 4} more`;
}
