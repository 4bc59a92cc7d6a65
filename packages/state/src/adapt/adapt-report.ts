import type { HyperparameterValues, OptimizerConfig, SchedulesData } from '@adakit/core';

/** The groups of an optimizer as data. */
export type GroupConfigs = Extract<OptimizerConfig, { readonly kind: 'groups' }>['groups'];

/** What became of a slot. */
export interface AdaptedSlot {
  readonly name: string;
  /** Seeded: as if the mean gradient so far had been the only one. */
  readonly outcome: 'kept' | 'renamed' | 'initialized' | 'seeded' | 'dropped';
  /** The name it had, if renamed. */
  readonly from?: string;
  /** What it was multiplied by, so that its bias-corrected value stays the same. */
  readonly factor?: number;
  /** The number it was filled with, if initialized and not from the parameter. */
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
  readonly from?: HyperparameterValues[string];
  readonly to?: HyperparameterValues[string];
}

/** What {@link adaptState} did to a state, as data. */
export interface AdaptReport {
  /** Trees in a line, e.g. `ema(adam)`. */
  readonly optimizer: { readonly from: string; readonly to: string };
  /** Those of the main optimizer; a wrapper's are named with it, e.g. `ema.decay`. */
  readonly hyperparameters: readonly ChangedHyperparameter[];
  /** Where they differ from the saved ones. */
  readonly groups?: { readonly from: GroupConfigs; readonly to: GroupConfigs };
  /** Where they differ from the saved ones. */
  readonly schedules?: { readonly from: SchedulesData; readonly to: SchedulesData };
  /** The step of the run, which stays. */
  readonly step: number;
  /** What belonged to all parameters together and has no place any more, for people. */
  readonly dropped?: readonly string[];
  readonly parameters: readonly AdaptedParameter[];
}

/** The report as lines for people; parameters with the same fate share one. */
export function formatAdaptReport(report: AdaptReport): string[] {
  const { optimizer, hyperparameters, groups, schedules, step, dropped = [], parameters } = report;
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
    ...(dropped.length === 0 ? [] : [`dropped: ${dropped.join(', ')}`]),
    ...[...fates].map(([text, names]) => `${someNames(names)}: ${text}`),
  ];
}

function scheduled(schedules: SchedulesData): string {
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
      return initial === undefined ? 'starts from the parameter' : `starts at ${initial}`;
    case 'seeded':
      return 'from the mean gradient';
    case 'dropped':
      return 'dropped';
  }
}

function transition(
  from: HyperparameterValues[string] | undefined,
  to: HyperparameterValues[string] | undefined,
): string {
  return to === undefined ? 'gone' : from === undefined ? `= ${to}` : `${from} -> ${to}`;
}

/** The first few of many names. */
function someNames(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((name) => `"${name}"`);
  return names.length <= 4 ? shown.join(', ') : `${shown.join(', ')} and ${names.length - 4} more`;
}
