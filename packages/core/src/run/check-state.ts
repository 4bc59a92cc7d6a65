import { AdakitError } from '../errors.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { restoreOptimizer } from '../optimizer/restore.js';
import { makePlan, type Plan, type PlannedParameter } from '../plan/plan.js';
import { sameShape } from '../tensor/tensor-data.js';
import { countProblems, isCount, shapesOf, shapeText, slotCountProblems, slotProblems } from './check-slots.js';
import { requireState } from './require-state.js';
import type { ParameterState, TrainingState } from './training-state.js';

/** What a state says besides the elements of its tensors: all that decides whether it fits. */
export interface StateOutline extends Pick<TrainingState, 'optimizer' | 'step' | 'globals'> {
  readonly parameters: Readonly<Record<string, ParameterOutline>>;
}

/** What a state says of a parameter besides elements. */
export interface ParameterOutline extends Pick<ParameterState, 'step' | 'programHash' | 'role' | 'units'> {
  readonly shape: readonly number[];
  /** Shapes by slot. */
  readonly slots: Readonly<Record<string, readonly number[]>>;
}

/**
 * Checks that `state` fits: the same pieces, exactly these parameters with these shapes, every slot the optimizer needs
 * and no other. All problems are reported at once.
 *
 * @returns the optimizer with the state's settings, and its plan
 * @throws AdakitError `invalid-state` for a malformed state, `state-mismatch` for one that belongs elsewhere
 */
export function checkState(
  state: TrainingState,
  optimizer: Optimizer,
  parameters: readonly ParameterSpec[],
): { readonly optimizer: Optimizer; readonly plan: Plan } {
  requireState(state);
  const problems: string[] = [];
  const outlines = Object.entries(state.parameters).map(([name, { value, slots, ...rest }]) => {
    problems.push(...countProblems(`parameter "${name}"`, value), ...slotCountProblems(name, slots));
    return [name, { ...rest, shape: value.shape, slots: shapesOf(slots) }] as const;
  });
  const checked = checkOutline({ ...state, parameters: Object.fromEntries(outlines) }, optimizer, parameters);
  if (problems.length > 0) throw misfit(problems);
  return checked;
}

/** Like {@link checkState}, before any tensor has been read. */
export function checkOutline(
  state: StateOutline,
  optimizer: Optimizer,
  parameters: readonly ParameterSpec[],
): { readonly optimizer: Optimizer; readonly plan: Plan } {
  if (!isCount(state.step)) {
    throw new AdakitError('invalid-state', `the state is malformed: step must be a count, got ${state.step}`);
  }
  const restored = restoreOptimizer(optimizer, state.optimizer, Object.keys(state.parameters));
  const missing = parameters.filter(({ name }) => !Object.hasOwn(state.parameters, name));
  const problems = [
    ...Object.keys(state.parameters)
      .filter((name) => !parameters.some((parameter) => parameter.name === name))
      .map((name) => `it has a parameter "${name}" that this run lacks`),
    ...missing.map(({ name }) => `it lacks the parameter "${name}"`),
  ];
  const plan = makePlan(restored, parameters, { allowEmptyGroups: true });
  for (const parameter of plan.parameters) {
    if (!missing.some(({ name }) => name === parameter.name)) {
      problems.push(...parameterProblems(parameter, state.parameters[parameter.name], restored));
    }
  }
  for (const [name, value] of Object.entries(state.globals ?? {})) {
    if (!plan.globals.some((global) => global.name === name))
      problems.push(`it has a number "${name}" that ${String(restored)} does not keep`);
    if (typeof value !== 'number') problems.push(`its number "${name}" is ${String(value)}`);
  }
  for (const { name } of plan.globals) {
    if (state.globals === undefined || !Object.hasOwn(state.globals, name))
      problems.push(`it lacks the number "${name}"`);
  }
  if (problems.length > 0) throw misfit(problems);
  return { optimizer: restored, plan };
}

function misfit(problems: readonly string[]): AdakitError {
  return new AdakitError('state-mismatch', `the state does not fit this run:\n  ${problems.join('\n  ')}`);
}

function parameterProblems(
  parameter: PlannedParameter,
  { shape: saved, step, slots, programHash, units: savedUnits = 'first' }: ParameterOutline,
  optimizer: Optimizer,
): string[] {
  const { name, shape, hash, units = 'first', slots: expected } = parameter;
  const problems: string[] = [];
  if (programHash !== undefined && programHash !== hash) {
    problems.push(
      `the update rule of "${name}" has hash ${programHash}, this version of "${optimizer.name}" has ${hash}; ` +
        'resume with the version that wrote it, or adapt the state with adaptState()',
    );
  }
  const matrixSlots = expected.filter((slot) => Array.isArray(slot.shape));
  if (matrixSlots.length > 0 && savedUnits !== units) {
    problems.push(
      `slots of "${name}" are along rows of units on its ${savedUnits} axis, this run has units on the ${units}; ` +
        'convert the state with mapState()',
    );
  }
  if (!sameShape(saved, shape)) {
    problems.push(`parameter "${name}" has shape ${shapeText(saved)}, this run's has ${shapeText(shape)}`);
  }
  return [...problems, ...slotProblems(parameter, { step, slots }, optimizer)];
}
