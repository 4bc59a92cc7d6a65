import { z } from 'zod';
import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { Optimizer, ParameterGroup, Schedules } from '../optimizer/optimizer.js';
import { scheduleSchema } from '../schedule/schedule.js';
import type { JsonObject } from '../state-file/json.js';
import type { StoredTensor } from '../state-file/stored-tensor.js';
import { sameShape, type TensorData } from '../tensor/tensor-data.js';

/** What an optimizer keeps for one parameter. */
export interface ParameterState {
  /** The parameter itself. */
  readonly value: TensorData;
  /** Updates this parameter has had. Parameters added in mid-training, or without a gradient at times, lag behind. */
  readonly step: number;
  /** Slots by name, each of the parameter's shape. */
  readonly slots: Readonly<Record<string, TensorData>>;
}

/** All that is needed to go on as if nothing had happened. Leaves have names, never positions. */
export interface TrainingState {
  readonly optimizer: OptimizerState;
  /** Optimizer steps taken so far. */
  readonly step: number;
  readonly parameters: Readonly<Record<string, ParameterState>>;
  /** Tensors that training updates without the optimizer, e.g. the running mean of a batch normalization, by name. */
  readonly statistics?: Readonly<Record<string, TensorData | StoredTensor>>;
  /** State of random number generators, as whoever draws from them saved it. */
  readonly random?: JsonObject;
  /** Where it was taken, for people: e.g. `onnxruntime-node/cpu`. */
  readonly origin: string;
  /** Versions of the software that took it, by package, for people. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** Which optimizer, exactly. */
export interface OptimizerState {
  readonly name: string;
  readonly hyperparameters: HyperparameterValues;
  /** Hyperparameters at construction. */
  readonly initial: HyperparameterValues;
  /** Parameter groups, later ones winning. */
  readonly groups: readonly GroupState[];
  /** Schedules by hyperparameter; their position is the state's step. */
  readonly schedules: Schedules;
  /** {@link Program.hash} of the rule that made the slots. */
  readonly programHash: string;
}

/** A parameter group as data: an exact name, or the source and flags of a regular expression. */
export interface GroupState {
  readonly match: string | { readonly pattern: string; readonly flags: string };
  readonly hyperparameters: HyperparameterValues;
}

const hyperparameterValues = z.record(z.string(), z.union([z.number(), z.boolean()]));

/** The part of a state that is not tensors, as data. */
export const optimizerStateSchema: z.ZodType<OptimizerState> = z.strictObject({
  name: z.string().min(1),
  hyperparameters: hyperparameterValues,
  initial: hyperparameterValues,
  groups: z.array(
    z.strictObject({
      match: z.union([
        z.string(),
        z.strictObject({ pattern: z.string(), flags: z.string() }).refine(isRegExp, 'is not a regular expression'),
      ]),
      hyperparameters: hyperparameterValues,
    }),
  ),
  schedules: z.record(z.string(), scheduleSchema),
  programHash: z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits'),
});

function isRegExp({ pattern, flags }: { readonly pattern: string; readonly flags: string }): boolean {
  try {
    return new RegExp(pattern, flags).flags === flags;
  } catch {
    return false;
  }
}

/** A parameter group from its data. */
export function parameterGroup({ match, hyperparameters }: GroupState): ParameterGroup {
  return { match: typeof match === 'string' ? match : new RegExp(match.pattern, match.flags), hyperparameters };
}

/** The `optimizer` entry of a state taken now. */
export function optimizerState(optimizer: Optimizer): OptimizerState {
  const { name, hyperparameters, initial, schedules, program } = optimizer;
  const groups = optimizer.groups.map(({ match, hyperparameters }) => ({
    match: typeof match === 'string' ? match : { pattern: match.source, flags: match.flags },
    hyperparameters,
  }));
  return { name, hyperparameters, initial, groups, schedules, programHash: program.hash };
}

/**
 * Checks that `state` fits: the same optimizer, exactly these parameters with these shapes, every slot the optimizer
 * needs and no other. All problems are reported at once.
 *
 * @param parameters the shape of every parameter to be restored, by name
 * @returns the optimizer with the state's hyperparameters
 * @throws AdakitError `invalid-state` for a malformed state, `state-mismatch` for one that belongs elsewhere
 */
export function restoreOptimizer(
  state: TrainingState,
  optimizer: Optimizer,
  parameters: Readonly<Record<string, readonly number[]>>,
): Optimizer {
  const parsed = optimizerStateSchema.safeParse(state.optimizer);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => `optimizer.${issue.path.join('.')}: ${issue.message}`);
    throw new AdakitError('invalid-state', `the state is malformed: ${issues.join('; ')}`);
  }
  if (!Number.isSafeInteger(state.step) || state.step < 0) {
    throw new AdakitError('invalid-state', `the state is malformed: step must be a count, got ${state.step}`);
  }
  if (state.optimizer.name !== optimizer.name) {
    throw new AdakitError(
      'state-mismatch',
      `the state belongs to the optimizer "${state.optimizer.name}", this one is "${optimizer.name}"; ` +
        `create the run with ${state.optimizer.name}() to resume it, or adapt the state with adaptState()`,
    );
  }
  const { hyperparameters, initial } = parsed.data;
  const { schedules } = parsed.data;
  const restored = optimizer.restore(hyperparameters, initial, parsed.data.groups.map(parameterGroup), schedules);
  const problems = stateProblems(state, restored, parameters);
  if (problems.length > 0) {
    throw new AdakitError('state-mismatch', `the state does not fit this run:\n  ${problems.join('\n  ')}`);
  }
  return restored;
}

function stateProblems(
  state: TrainingState,
  optimizer: Optimizer,
  parameters: Readonly<Record<string, readonly number[]>>,
): string[] {
  const problems: string[] = [];
  if (state.optimizer.programHash !== optimizer.program.hash) {
    problems.push(
      `its update rule has hash ${state.optimizer.programHash}, this version of "${optimizer.name}" has ${optimizer.program.hash}; ` +
        'resume with the version that wrote it',
    );
  }
  const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
  for (const name of Object.keys(state.parameters)) {
    if (!Object.hasOwn(parameters, name)) problems.push(`it has a parameter "${name}" that this run lacks`);
  }
  for (const [name, shape] of Object.entries(parameters)) {
    if (!Object.hasOwn(state.parameters, name)) {
      problems.push(`it lacks the parameter "${name}"`);
      continue;
    }
    const { value, slots, step } = state.parameters[name];
    const wrongShape = (tensor: TensorData): boolean => !sameShape(tensor.shape, shape);
    if (!Number.isSafeInteger(step) || step < 0) problems.push(`the step of "${name}" is ${step}, not a count`);
    if (wrongShape(value)) {
      problems.push(`parameter "${name}" has shape ${shapeText(value.shape)}, this run's has ${shapeText(shape)}`);
    }
    const expected = optimizer.for(name).program.slots;
    for (const slot of expected) {
      if (!Object.hasOwn(slots, slot.name)) problems.push(`it lacks the slot "${slot.name}" of "${name}"`);
      else if (wrongShape(slots[slot.name])) {
        problems.push(
          `slot "${slot.name}" of "${name}" has shape ${shapeText(slots[slot.name].shape)}, expected ${shapeText(shape)}`,
        );
      }
    }
    for (const slot of Object.keys(slots)) {
      if (!expected.some((known) => known.name === slot)) {
        problems.push(`"${name}" has a slot "${slot}" that ${optimizer.name} does not keep with these options`);
      }
    }
  }
  return problems;
}
