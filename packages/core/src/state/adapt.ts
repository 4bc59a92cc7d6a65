import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { copyTensor, sameShape, type NamedTensors } from '../tensor/tensor-data.js';
import type { AdaptedParameter, AdaptReport, ChangedHyperparameter } from './adapt-report.js';
import { carryOver, startAfresh } from './carry-over.js';
import { optimizerState, parameterGroup, restoreOptimizer, type TrainingState } from './training-state.js';

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
 * slots that both optimizers have are kept, others are dropped; missing ones start at their initial values, or, where that
 * would make wrong steps, as follows.
 *
 * Bias correction divides an average by 1 − βᵗ, where t counts the updates it has had, and all averages of a parameter
 * share one t. An old and a new average cannot: with the old t the new one would be far too small, with t = 0 the old one
 * far too large, and a division of the one by the other has no bound. So where a second moment is missing, the state
 * becomes that of a run whose first and only gradient was the mean of all so far: t is 1, `expAvg` is multiplied by
 * (1 − β)/(1 − βᵗ), which leaves its corrected value as it is, and the missing slots are what the rule makes of that
 * gradient. Without `expAvg` everything starts at 0. An average whose β has changed is rescaled in the same way.
 *
 * The step of the run, and with it the position of schedules, stays.
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
  const known = new Set(
    Object.keys(parameters).flatMap((name) => target.for(name).program.slots.map((slot) => slot.name)),
  );
  const unknown = Object.keys(sources).filter((slot) => !known.has(slot));
  if (unknown.length > 0) throw mismatch([`${target.name} has no slot ${quoted(unknown)}, which options.slots names`]);

  const present = Object.entries(parameters).map(([name, value]) => {
    const isNew = added.includes(name);
    const rule = target.for(name);
    const { parameter, slots } = isNew ? startAfresh(value, rule) : carryOver(state, name, rule, sources);
    const updates = { ...(!isNew && { from: state.parameters[name].step }), to: parameter.step };
    const report: AdaptedParameter = { name, outcome: isNew ? 'added' : 'kept', updates, slots };
    return { name, parameter, report };
  });
  const absent = (names: readonly string[], outcome: 'removed' | 'frozen'): AdaptedParameter[] =>
    names.map((name) => {
      const { step, slots } = state.parameters[name];
      return {
        name,
        outcome,
        updates: { from: step },
        slots: Object.keys(slots).map((slot) => ({ name: slot, outcome: 'dropped' })),
      };
    });
  const adapted: TrainingState = {
    ...state,
    optimizer: optimizerState(target),
    parameters: Object.fromEntries(present.map(({ name, parameter }) => [name, parameter])),
  };
  restoreOptimizer(adapted, target, shapesOf(parameters)); // Anything malformed in the state is an error now.
  const groups = change(state.optimizer.groups, adapted.optimizer.groups);
  const schedules = change(state.optimizer.schedules, adapted.optimizer.schedules);
  return {
    state: adapted,
    frozen: Object.fromEntries(frozen.map((name) => [name, copyTensor(state.parameters[name].value)])),
    report: {
      optimizer: { from: state.optimizer.name, to: target.name },
      hyperparameters: changes(state.optimizer.hyperparameters, target.hyperparameters),
      ...(groups && { groups }),
      ...(schedules && { schedules }),
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

function changes(before: HyperparameterValues, after: HyperparameterValues): ChangedHyperparameter[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((name) => before[name] !== after[name])
    .map((name) => ({
      name,
      ...(Object.hasOwn(before, name) && { from: before[name] }),
      ...(Object.hasOwn(after, name) && { to: after[name] }),
    }));
}

/** What was before and what is now, if they are not the same. */
function change<T>(from: T, to: T): { readonly from: T; readonly to: T } | undefined {
  return JSON.stringify(from) === JSON.stringify(to) ? undefined : { from, to };
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
