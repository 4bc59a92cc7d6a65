import {
  copyTensor,
  kindOf,
  makePlan,
  requireOptimizer,
  type NamedTensors,
  type Optimizer,
  type ParameterSpec,
  type ParameterState,
  type Plan,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { checkState, kinds, requireState, requireTensor, type OptionKind } from '@adakit/core/states';
import { requireOptions } from '../file/given.js';
import { requireAccounted } from './accounted.js';
import type { AdaptedParameter, AdaptedSlot, AdaptReport } from './adapt-report.js';
import { carryOver, startAfresh } from './carry-over.js';
import { optimizerChanges } from './changes.js';
import { mismatch, quoted } from './mismatch.js';
import { savedPieces } from './saved-pieces.js';
import { settle } from './settle.js';

/** How {@link adaptState} treats what two optimizers keep differently. */
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

const OPTIONS: Readonly<Record<keyof AdaptOptions, OptionKind>> = {
  keep: kinds.oneOf('given', 'saved'),
  added: kinds.names,
  removed: kinds.names,
  frozen: kinds.names,
  slots: kinds.record("names of slots by name, as { new: 'saved' }", kinds.text),
};

/** What {@link adaptState} has made of a state. */
export interface AdaptedState {
  /** Fits a run of the optimizer on the parameters. */
  readonly state: TrainingState;
  /** Values of the parameters that are in the state and not trained. */
  readonly frozen: NamedTensors;
  /** What was done, completely; {@link formatAdaptReport} prints it. */
  readonly report: AdaptReport;
}

/** The parameters of a run, by name: their values, with what optimizers may know of them. */
export type AdaptedParameters = Readonly<
  Record<string, TensorData | (Pick<ParameterSpec, 'role' | 'units'> & { readonly value: TensorData })>
>;

/**
 * Makes a saved state fit a run with another optimizer, other hyperparameters or other parameters. Parameters and the
 * slots that hold what the new optimizer keeps, too, are carried over; by what they hold (`SlotMeaning`), whatever they
 * are called. Others are dropped; missing ones start at their start values, or, where that would make wrong steps, as
 * follows.
 *
 * Bias correction divides an average by 1 − βᵗ, where t counts the updates it has had, and all averages of a parameter
 * share one t. An old and a new average cannot: with the old t the new one would be far too small, with t = 0 the old one
 * far too large, and a division of the one by the other has no bound. So where a second moment is missing, the state
 * becomes that of a run whose first and only gradient was the mean of all so far: t is 1, the mean of the gradient is
 * multiplied by (1 − β)/(1 − βᵗ), which leaves its corrected value as it is, and the missing slots are what the rule makes
 * of that gradient. Without a mean of the gradient everything of the rule starts afresh. An average whose β has changed is
 * rescaled in the same way. What wrappers keep beside the rule, such as averages of the weights, goes on as it is.
 *
 * The step of the run, and with it the position of schedules, stays.
 *
 * @param optimizer the optimizer to go on with
 * @param parameters the parameters of the run; values matter only for added ones, roles default to those saved
 * @throws AdakitError `state-mismatch` with everything that does not fit and is not accounted for by the options
 */
export function adaptState(
  state: TrainingState,
  optimizer: Optimizer,
  parameters: AdaptedParameters,
  options: AdaptOptions = {},
): AdaptedState {
  requireState(state);
  requireOptimizer('adaptState()', optimizer);
  requireOptions('adaptState()', options, OPTIONS);
  if (Object(parameters) !== parameters || Array.isArray(parameters)) {
    throw mismatch([`the parameters of the run are given by name, as { weight: tensor }, got ${kindOf(parameters)}`]);
  }
  const given = Object.entries(parameters).map(([name, parameter]) => givenParameter(name, parameter, state));
  requireAccounted(state, Object.fromEntries(given.map(({ spec, value }) => [spec.name, value])), options);
  const { keep = 'given', added = [], removed = [], frozen = [], slots: sources = {} } = options;
  const target = settle(state, optimizer, keep);
  const specs = given.map(({ spec }) => spec);
  const plan = makePlan(target, specs, { allowEmptyGroups: keep === 'saved' });
  const known = new Set(plan.parameters.flatMap(({ slots }) => slots.map(({ name }) => name)));
  const unknown = Object.keys(sources).filter((slot) => !known.has(slot));
  if (unknown.length > 0) throw mismatch([`${target.name} has no slot ${quoted(unknown)}, which options.slots names`]);

  const present = plan.parameters.map((planned, i) => {
    const { name } = planned;
    const isNew = added.includes(name);
    const saved = isNew
      ? undefined
      : { state: state.parameters[name], pieces: savedPieces(state.optimizer, savedSpec(name, state)) };
    const { parameter, slots } = saved ? carryOver(saved, planned, sources) : startAfresh(given[i].value, planned);
    const updates = { ...(saved && { from: saved.state.step }), to: parameter.step };
    const report: AdaptedParameter = { name, outcome: isNew ? 'added' : 'kept', updates, slots };
    return { name, parameter, report };
  });
  const { shared, dropped } = sharedState(
    state,
    plan,
    present.flatMap(({ report }) => report.slots),
  );
  const { step, statistics, skipped, random, data, origin, versions } = state;
  const adapted: TrainingState = {
    optimizer: target.toConfig(specs),
    step,
    parameters: Object.fromEntries(
      present.map(({ name, parameter }) => [name, shared.collected ? parameter : withoutSums(parameter, plan)]),
    ),
    ...shared,
    ...(skipped !== undefined && { skipped }),
    ...(statistics && { statistics }),
    ...(random && { random }),
    ...(data && { data }),
    origin,
    ...(versions && { versions }),
  };
  checkState(adapted, target, specs); // Anything malformed in the state is an error now.
  return {
    state: adapted,
    frozen: Object.fromEntries(frozen.map((name) => [name, copyTensor(state.parameters[name].value)])),
    report: {
      ...optimizerChanges(state.optimizer, adapted.optimizer),
      step,
      ...(dropped.length > 0 && { dropped }),
      parameters: [
        ...present.map(({ report }) => report),
        ...removed.map((name) => absent(name, 'removed', state)),
        ...frozen.map((name) => absent(name, 'frozen', state)),
      ],
    },
  };
}

/** A parameter of the run; what it does not say of itself is as saved. */
function givenParameter(
  name: string,
  parameter: AdaptedParameters[string],
  { parameters: saved }: TrainingState,
): { readonly value: TensorData; readonly spec: ParameterSpec } {
  const known = Object.hasOwn(saved, name) ? saved[name] : undefined;
  const given: Exclude<typeof parameter, TensorData> =
    'value' in Object(parameter)
      ? (parameter as Exclude<typeof parameter, TensorData>)
      : { value: parameter as TensorData };
  requireTensor('state-mismatch', `the parameter "${name}"`, given.value);
  const { value, role = known?.role, units = known?.units } = given;
  return { value, spec: { name, shape: value.shape, ...(role && { role }), ...(units && { units }) } };
}

/** What the report says of a parameter that does not go on. */
function absent(name: string, outcome: 'removed' | 'frozen', { parameters }: TrainingState): AdaptedParameter {
  const { step, slots } = parameters[name];
  const dropped = Object.keys(slots).map((slot) => ({ name: slot, outcome: 'dropped' as const }));
  return { name, outcome, updates: { from: step }, slots: dropped };
}

/** A parameter as the saved run's groups saw it. */
function savedSpec(name: string, { parameters }: TrainingState): ParameterSpec {
  const { value, role, units } = parameters[name];
  return { name, shape: value.shape, ...(role && { role }), ...(units && { units }) };
}

/** A parameter at the beginning of a step: what batches would have added to is zero. */
function withoutSums(parameter: ParameterState, { batches }: Plan): ParameterState {
  if (batches === undefined) return parameter;
  const { prefix } = batches.piece;
  const slots = Object.entries(parameter.slots).map(
    ([name, slot]) => [name, name.startsWith(prefix) ? { ...slot, data: slot.data.map(() => 0) } : slot] as const,
  );
  return { ...parameter, slots: Object.fromEntries(slots) };
}

/** What belongs to all parameters together, as far as the new optimizer has a place for it. */
function sharedState(
  { globals = {}, collected, lossScale, plateaus = {} }: TrainingState,
  plan: Plan,
  slots: readonly AdaptedSlot[],
): { readonly shared: Partial<TrainingState>; readonly dropped: readonly string[] } {
  const numbers = plan.globals.map(
    ({ name, start }) => [name, Object.hasOwn(globals, name) ? globals[name] : start] as const,
  );
  const scheduled = new Set(
    plan.groups.flatMap(({ path, pieces }) =>
      pieces.flatMap(({ prefix, schedules }) => Object.keys(schedules).map((name) => `${path}:${prefix}${name}`)),
    ),
  );
  const seen = Object.entries(plateaus).filter(([key]) => scheduled.has(key));
  // Sums of gradients that were not carried over cannot be gone on with.
  const sums = slots.filter(({ name }) => name.startsWith(plan.batches?.piece.prefix ?? '-'));
  const collects = collected !== undefined && sums.length > 0 && sums.every(({ outcome }) => outcome === 'kept');
  const dropped = [
    ...Object.keys(globals)
      .filter((name) => !plan.globals.some((global) => global.name === name))
      .map((name) => `the number ${name}`),
    ...(collected && !collects ? [`the gradients of ${collected.batches} batches of a step that is not complete`] : []),
    ...(lossScale && !plan.lossScale ? ['the loss scale'] : []),
    ...Object.keys(plateaus)
      .filter((key) => !scheduled.has(key))
      .map((key) => `what the schedule of ${key} has seen`),
  ];
  return {
    shared: {
      ...(numbers.length > 0 && { globals: Object.fromEntries(numbers) }),
      ...(collects && { collected }),
      ...(lossScale && plan.lossScale && { lossScale }),
      ...(seen.length > 0 && { plateaus: Object.fromEntries(seen) }),
    },
    dropped,
  };
}
