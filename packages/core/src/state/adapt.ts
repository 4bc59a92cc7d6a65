import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import { matches, type Optimizer } from '../optimizer/optimizer.js';
import { copyTensor, filled, sameShape, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import type { Slot } from '../program/program.js';
import type { AdaptedParameter, AdaptedSlot, AdaptReport, ChangedHyperparameter } from './adapt-report.js';
import { slotMeaning } from './slot-meaning.js';
import {
  optimizerState,
  parameterGroup,
  restoreOptimizer,
  type OptimizerState,
  type ParameterState,
  type TrainingState,
} from './training-state.js';

export interface AdaptOptions {
  /**
   * Whose hyperparameters, groups and schedules hold from now on: those of the optimizer given (the default) or those
   * saved, which only the same optimizer understands. What the hyperparameters were at construction stays with the same
   * optimizer in both cases.
   */
  readonly keep?: 'given' | 'saved';
  /** Parameters that the run has and the state lacks. They start afresh, from the values in `parameters`. */
  readonly added?: readonly string[];
  /** Parameters that the state has and the run does not need any more. */
  readonly removed?: readonly string[];
  /** Parameters of the state that the run has but does not train. Their values are handed back. */
  readonly frozen?: readonly string[];
  /**
   * Saved slots that go on under another name, on the caller's word that they will do: `{ expAvgVar: 'expAvgSq' }` starts
   * AdaBelief with Adam's squared gradients, which are larger than its squared deviations, so with careful steps.
   */
  readonly slots?: Readonly<Record<string, string>>;
}

export interface AdaptedState {
  /** Fits a run of the optimizer on the parameters. */
  readonly state: TrainingState;
  /** Values of the parameters that are in the state and not trained. */
  readonly frozen: NamedTensors;
  /** What was done, completely; {@link formatAdaptReport} prints it. */
  readonly report: AdaptReport;
}

/**
 * Makes a saved state fit a run with another optimizer, other hyperparameters or other parameters. Parameters and the
 * slots that both optimizers have are kept, missing slots get their initial values, others are dropped.
 *
 * Bias correction divides an average by 1 − βᵗ, where t counts the updates it has had, and all averages of a parameter
 * share one t. So where one of them has to start anew, the count starts anew at t = 1, and the others count as the
 * average of one gradient: they are multiplied by (1 − β)/(1 − βᵗ), which leaves their corrected values as they are. The
 * same happens to an average whose β has changed. The step of the run, and with it the position of schedules, stays.
 *
 * @param optimizer the optimizer to go on with
 * @param parameters the parameters of the run, by name; values matter only for added ones
 * @throws AdakitError `state-mismatch` with everything that does not fit and is not accounted for by the options
 */
export function adaptState(
  state: TrainingState,
  optimizer: Optimizer,
  parameters: NamedTensors,
  options: AdaptOptions = {},
): AdaptedState {
  requireAccounted(state, parameters, options);
  const { keep = 'given', added = [], removed = [], frozen = [], slots: sources = {} } = options;
  const target = settle(state, optimizer, keep);
  const known = new Set(Object.keys(parameters).flatMap((name) => slotsOf(target, name).map((slot) => slot.name)));
  const unknown = Object.keys(sources).filter((slot) => !known.has(slot));
  if (unknown.length > 0) throw mismatch([`${target.name} has no slot ${quoted(unknown)}, which options.slots names`]);

  const present = Object.entries(parameters).map(([name, value]) => {
    const isNew = added.includes(name);
    const { parameter, slots } = isNew ? startAfresh(value, target, name) : carryOver(state, target, name, sources);
    const updates = { ...(!isNew && { from: state.parameters[name].step }), to: parameter.step };
    const report: AdaptedParameter = { name, outcome: isNew ? 'added' : 'kept', updates, slots };
    return { name, parameter, report };
  });
  const absent = (names: readonly string[], outcome: 'removed' | 'frozen'): AdaptedParameter[] =>
    names.map((name) => {
      const { step, slots } = state.parameters[name];
      return { name, outcome, updates: { from: step }, slots: droppedSlots(Object.keys(slots)) };
    });
  const adapted: TrainingState = {
    ...state,
    optimizer: optimizerState(target),
    parameters: Object.fromEntries(present.map(({ name, parameter }) => [name, parameter])),
  };
  restoreOptimizer(adapted, target, shapesOf(parameters)); // Anything malformed in the state is an error now.
  return {
    state: adapted,
    frozen: Object.fromEntries(frozen.map((name) => [name, copyTensor(state.parameters[name].value)])),
    report: {
      optimizer: { from: state.optimizer.name, to: target.name },
      hyperparameters: changes(state.optimizer.hyperparameters, target.hyperparameters),
      ...changed('groups', state.optimizer, adapted.optimizer),
      ...changed('schedules', state.optimizer, adapted.optimizer),
      step: state.step,
      parameters: [...present.map(({ report }) => report), ...absent(removed, 'removed'), ...absent(frozen, 'frozen')],
    },
  };
}

/** Every parameter of the state and of the run must be in both or in exactly one of the lists. */
function requireAccounted(state: TrainingState, parameters: NamedTensors, options: AdaptOptions): void {
  const { added = [], removed = [], frozen = [] } = options;
  const saved = (name: string): boolean => Object.hasOwn(state.parameters, name);
  const running = (name: string): boolean => Object.hasOwn(parameters, name);
  const gone = [...removed, ...frozen];
  const problems = [
    complaint(
      Object.keys(parameters).filter((name) => !saved(name) && !added.includes(name)),
      'the run has',
      'list it in "added" to start it afresh',
    ),
    complaint(
      Object.keys(state.parameters).filter((name) => !running(name) && !gone.includes(name)),
      'only the state has',
      'list it in "removed" or "frozen"',
    ),
    complaint(
      added.filter((name) => saved(name) || !running(name)),
      '"added" lists',
      'which must be in the run and not in the state',
    ),
    complaint(
      gone.filter((name) => running(name) || !saved(name)),
      '"removed" or "frozen" lists',
      'which must be in the state and not in the run',
    ),
    complaint(
      gone.filter((name, i) => gone.indexOf(name) !== i),
      'it is listed twice:',
      'list it once',
    ),
    ...Object.entries(parameters).flatMap(([name, { shape }]) =>
      saved(name) && !sameShape(state.parameters[name].value.shape, shape)
        ? `"${name}" has shape [${state.parameters[name].value.shape.join(', ')}] in the state and [${shape.join(', ')}] in the run`
        : [],
    ),
  ].flat();
  if (problems.length > 0) throw mismatch(problems);
}

function complaint(names: readonly string[], what: string, advice: string): string[] {
  return names.length === 0 ? [] : [`${what} ${quoted(names)}; ${advice}`];
}

/** The optimizer with the hyperparameters that shall hold. */
function settle(state: TrainingState, optimizer: Optimizer, keep: 'given' | 'saved'): Optimizer {
  const { name, hyperparameters, initial, groups, schedules } = state.optimizer;
  const same = name === optimizer.name;
  if (keep === 'saved') {
    if (same) return optimizer.restore(hyperparameters, initial, groups.map(parameterGroup), schedules);
    throw mismatch([
      `its hyperparameters are those of "${name}" and do not apply to "${optimizer.name}"; give them, with keep: 'given'`,
    ]);
  }
  // AdaBound's bounds refer to the learning rate at the start of the run, which goes on.
  return same
    ? optimizer.restore(optimizer.hyperparameters, initial, optimizer.groups, optimizer.schedules)
    : optimizer;
}

function startAfresh(value: TensorData, optimizer: Optimizer, name: string): Adapted {
  const slots = slotsOf(optimizer, name).map((slot) => initialize(slot, value));
  return assemble(copyTensor(value), 0, slots);
}

interface Adapted {
  readonly parameter: ParameterState;
  readonly slots: readonly AdaptedSlot[];
}

function carryOver(
  state: TrainingState,
  optimizer: Optimizer,
  name: string,
  sources: Readonly<Record<string, string>>,
): Adapted {
  const { value, step, slots: saved } = state.parameters[name];
  const savedValues = savedHyperparameters(state, name);
  const newValues = optimizer.for(name).hyperparameters;
  const wanted = slotsOf(optimizer, name).map((slot) => {
    const source = Object.hasOwn(sources, slot.name) ? sources[slot.name] : slot.name;
    if (source !== slot.name && !Object.hasOwn(saved, source)) {
      throw mismatch([
        `options.slots wants "${source}" as "${slot.name}", but "${name}" has ${quoted(Object.keys(saved))}`,
      ]);
    }
    return { slot, source, tensor: Object.hasOwn(saved, source) ? saved[source] : undefined };
  });

  const restarts = step > 0 && wanted.some(({ slot, tensor }) => !tensor && !slotMeaning(slot.name).joinsLate);
  const averages = wanted.some(({ slot, tensor }) => tensor && decayRates(slot.name) !== undefined);
  const updates = !restarts ? step : averages ? 1 : 0;

  /** β of an average, before and after; undefined for other slots. */
  function decayRates(slot: string): readonly [number, number] | undefined {
    const { decay } = slotMeaning(slot);
    if (decay === undefined) return undefined;
    const [before, after] = [savedValues[decay], newValues[decay]];
    return typeof before === 'number' && typeof after === 'number' ? [before, after] : undefined;
  }

  /** What a saved slot has to be multiplied by to be right at the new count; undefined if nothing makes it right. */
  function factor(slot: string): number | undefined {
    const rates = decayRates(slot);
    if (rates === undefined) return updates === step || slotMeaning(slot).joinsLate ? 1 : undefined;
    const [before, after] = rates;
    return (updates === step && before === after) || step === 0 ? 1 : (1 - after ** updates) / (1 - before ** step);
  }

  const slots = wanted.map(({ slot, source, tensor }): FilledSlot => {
    const scale = tensor && factor(slot.name);
    if (tensor === undefined || scale === undefined) return initialize(slot, value);
    const report: AdaptedSlot = {
      name: slot.name,
      outcome: source === slot.name ? 'kept' : 'renamed',
      ...(source !== slot.name && { from: source }),
      ...(scale !== 1 && { factor: scale }),
    };
    return { report, tensor: scale === 1 ? copyTensor(tensor) : scaled(tensor, scale) };
  });
  const used = slots.flatMap(({ report }) => (report.outcome === 'initialized' ? [] : (report.from ?? report.name)));
  const dropped = Object.keys(saved).filter((slot) => !used.includes(slot));
  return assemble(copyTensor(value), updates, slots, dropped);
}

interface FilledSlot {
  readonly report: AdaptedSlot;
  readonly tensor: TensorData;
}

function initialize({ name, initial }: Slot, { dtype, shape }: TensorData): FilledSlot {
  return { report: { name, outcome: 'initialized', initial }, tensor: filled(dtype, shape, initial) };
}

function assemble(
  value: TensorData,
  step: number,
  slots: readonly FilledSlot[],
  dropped: readonly string[] = [],
): Adapted {
  return {
    parameter: { value, step, slots: Object.fromEntries(slots.map(({ report, tensor }) => [report.name, tensor])) },
    slots: [...slots.map(({ report }) => report), ...droppedSlots(dropped)],
  };
}

function droppedSlots(names: readonly string[]): AdaptedSlot[] {
  return names.map((name) => ({ name, outcome: 'dropped' }));
}

/** The tensor times a number, in its own precision. */
function scaled(tensor: TensorData, factor: number): TensorData {
  const copy = copyTensor(tensor);
  copy.data.forEach((x, i) => (copy.data[i] = x * factor));
  return copy;
}

/** The hyperparameters that applied to one parameter of the saved run. */
function savedHyperparameters({ optimizer }: TrainingState, name: string): HyperparameterValues {
  const groups = optimizer.groups.filter((group) => matches(parameterGroup(group).match, name));
  return Object.assign(
    {},
    optimizer.hyperparameters,
    ...groups.map((group) => group.hyperparameters),
  ) as HyperparameterValues;
}

function changes(before: HyperparameterValues, after: HyperparameterValues): ChangedHyperparameter[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((name) => before[name] !== after[name])
    .map((name) => ({
      name,
      ...(Object.hasOwn(before, name) && { from: before[name] }),
      ...(Object.hasOwn(after, name) && { to: after[name] }),
    }));
}

/** Groups or schedules before and after, if they are not the same. */
function changed<K extends 'groups' | 'schedules'>(
  key: K,
  { [key]: from }: OptimizerState,
  { [key]: to }: OptimizerState,
): { readonly [key in K]?: { readonly from: OptimizerState[K]; readonly to: OptimizerState[K] } } {
  return JSON.stringify(from) === JSON.stringify(to) ? {} : ({ [key]: { from, to } } as ReturnType<typeof changed<K>>);
}

function slotsOf(optimizer: Optimizer, name: string): readonly Slot[] {
  return optimizer.for(name).program.slots;
}

function shapesOf(parameters: NamedTensors): Record<string, readonly number[]> {
  return Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape]));
}

function mismatch(problems: readonly string[]): AdakitError {
  return new AdakitError('state-mismatch', `the state does not fit this run:\n  ${problems.join('\n  ')}`);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ') || 'none';
}
