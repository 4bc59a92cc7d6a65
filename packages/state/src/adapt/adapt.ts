import {
  AdakitError,
  copyTensor,
  makePlan,
  Optimizer,
  RuleNode,
  sameShape,
  type HyperparameterValues,
  type NamedTensors,
  type OptimizerConfig,
  type OptimizerNode,
  type ParameterSpec,
  type Plan,
  type SchedulesData,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { checkState, GroupsNode, restoreOptimizer, WrapperNode } from '@adakit/core/states';
import type {
  AdaptedParameter,
  AdaptedSlot,
  AdaptReport,
  ChangedHyperparameter,
  GroupConfigs,
} from './adapt-report.js';
import { carryOver, startAfresh } from './carry-over.js';
import { mainPieces, optimizerText, savedPieces } from './saved-pieces.js';

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
  const given = Object.entries(parameters).map(([name, parameter]) => {
    const { value, role, units }: Exclude<typeof parameter, TensorData> =
      'value' in parameter ? parameter : { value: parameter };
    const saved = Object.hasOwn(state.parameters, name) ? state.parameters[name] : undefined;
    const [roleNow, unitsNow] = [role ?? saved?.role, units ?? saved?.units];
    const spec: ParameterSpec = {
      name,
      shape: value.shape,
      ...(roleNow && { role: roleNow }),
      ...(unitsNow && { units: unitsNow }),
    };
    return { value, spec };
  });
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
  const { shared, dropped } = sharedState(
    state,
    plan,
    present.flatMap(({ report }) => report.slots),
  );
  const { step, statistics, skipped, random, data, origin, versions } = state;
  const adapted: TrainingState = {
    optimizer: target.toConfig(specs),
    step,
    parameters: Object.fromEntries(present.map(({ name, parameter }) => [name, parameter])),
    ...shared,
    ...(skipped !== undefined && { skipped }),
    ...(statistics && { statistics }),
    ...(random && { random }),
    ...(data && { data }),
    origin,
    ...(versions && { versions }),
  };
  checkState(adapted, target, specs); // Anything malformed in the state is an error now.
  const groups = change(groupsOf(state.optimizer), groupsOf(adapted.optimizer));
  const schedules = change(schedulesOf(state.optimizer), schedulesOf(adapted.optimizer));
  return {
    state: adapted,
    frozen: Object.fromEntries(frozen.map((name) => [name, copyTensor(state.parameters[name].value)])),
    report: {
      optimizer: { from: optimizerText(state.optimizer), to: optimizerText(adapted.optimizer) },
      hyperparameters: changes(valuesOf(state.optimizer), valuesOf(adapted.optimizer)),
      ...(groups && { groups }),
      ...(schedules && { schedules }),
      step,
      ...(dropped.length > 0 && { dropped }),
      parameters: [...present.map(({ report }) => report), ...absent(removed, 'removed'), ...absent(frozen, 'frozen')],
    },
  };
}

/** A parameter as the saved run's groups saw it. */
function savedSpec(name: string, { parameters }: TrainingState): ParameterSpec {
  const { value, role, units } = parameters[name];
  return { name, shape: value.shape, ...(role && { role }), ...(units && { units }) };
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
  // AdaBound's bounds refer to the learning rate at the start of the run, which goes on.
  if (keep === 'given') return new Optimizer(withSavedInitial(optimizer.node, state.optimizer));
  try {
    return restoreOptimizer(optimizer, state.optimizer);
  } catch (error) {
    if (!(error instanceof AdakitError) || error.code !== 'state-mismatch') throw error;
    throw mismatch([
      `its hyperparameters are those of "${optimizerText(state.optimizer)}" and do not apply to "${String(optimizer)}"; ` +
        "give them, with keep: 'given'",
    ]);
  }
}

/** What the hyperparameters of the same pieces were at construction, group by group. */
function withSavedInitial(node: OptimizerNode, saved: OptimizerConfig | undefined): OptimizerNode {
  if (saved === undefined) return node;
  if (node.kind === 'groups') {
    const found = pieceOf(saved, ({ kind }) => kind === 'groups');
    const same = found?.kind === 'groups' ? found : undefined;
    const groups = node.groups.map((group) => {
      const other = same?.groups.find(({ name }) => name === group.name)?.optimizer;
      return group.optimizer ? { ...group, optimizer: withSavedInitial(group.optimizer, other) } : group;
    });
    return new GroupsNode(groups, withSavedInitial(node.rest, same?.rest ?? saved));
  }
  const { component, hyperparameters, schedules } = node;
  const { name } = component;
  const found = pieceOf(saved, (piece) => piece.kind === node.kind && piece.name === name);
  const same = found?.kind === 'groups' ? undefined : found;
  const initial = same ? initialOf(node, same.initial) : node.initial;
  return node.kind === 'rule'
    ? new RuleNode({ component, hyperparameters, initial, schedules })
    : new WrapperNode(
        { component, hyperparameters, initial, schedules },
        withSavedInitial(node.inner, same?.inner ?? saved),
      );
}

/** The first piece of the main optimizer, from the outermost, that passes a test. */
function pieceOf(config: OptimizerConfig, test: (piece: OptimizerConfig) => boolean): OptimizerConfig | undefined {
  if (test(config)) return config;
  const inner = config.kind === 'groups' ? config.rest : config.inner;
  return inner && pieceOf(inner, test);
}

function initialOf(
  { initial }: { readonly initial: HyperparameterValues },
  saved: HyperparameterValues,
): HyperparameterValues {
  const common = Object.entries(saved).filter(([name]) => Object.hasOwn(initial, name));
  return Object.freeze({ ...initial, ...Object.fromEntries(common) });
}

/** Hyperparameters of the main optimizer; a wrapper's are named with it. */
function valuesOf(config: OptimizerConfig): HyperparameterValues {
  return Object.fromEntries(
    mainPieces(config)
      .toReversed()
      .flatMap(({ kind, name, hyperparameters }) =>
        Object.entries(hyperparameters).map(
          ([key, value]) => [kind === 'rule' ? key : `${name}.${key}`, value] as const,
        ),
      ),
  );
}

function schedulesOf(config: OptimizerConfig): SchedulesData {
  return mainPieces(config).at(-1)?.schedules ?? {};
}

/** All groups of the main optimizer, from the outermost. */
function groupsOf(config: OptimizerConfig): GroupConfigs {
  if (config.kind === 'groups') return [...config.groups, ...groupsOf(config.rest)];
  return config.inner === undefined ? [] : groupsOf(config.inner);
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

function mismatch(problems: readonly string[]): AdakitError {
  return new AdakitError('state-mismatch', `the state does not fit this run:\n  ${problems.join('\n  ')}`);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ') || 'none';
}
