import { AdakitError, camelCaseKeys, type TensorData } from '@adakit/core';
import { z } from 'zod';
import { recordOf } from './record-of.js';

const vector = z.array(z.number());
const run = z.object({ params: z.array(vector), slots: recordOf(vector) });

const trajectorySchema = z
  .object({
    name: z.string().optional(),
    optimizer: z.string(),
    hyperparameters: recordOf(z.union([z.number(), z.boolean()])),
    steps: z.int().positive(),
    size: z.int().nonnegative(),
    lrPerStep: z.array(z.number()).nullish(),
    param0: vector,
    grads: z.array(vector),
    float32: run,
    float64: run,
  })
  .superRefine((t, context) => {
    const expectLength = (path: (string | number)[], actual: number, expected: number): void => {
      if (actual !== expected) {
        context.addIssue({ code: 'custom', path, message: `has ${actual} entries, expected ${expected}` });
      }
    };
    const expectSteps = (path: string[], rows: readonly (readonly number[])[]): void => {
      expectLength(path, rows.length, t.steps);
      rows.forEach((row, i) => {
        expectLength([...path, i], row.length, t.size);
      });
    };
    expectLength(['param0'], t.param0.length, t.size);
    expectSteps(['grads'], t.grads);
    if (t.lrPerStep) expectLength(['lrPerStep'], t.lrPerStep.length, t.steps);
    for (const precision of ['float32', 'float64'] as const) {
      expectSteps([precision, 'params'], t[precision].params);
      for (const [slot, values] of Object.entries(t[precision].slots)) {
        expectLength([precision, 'slots', slot], values.length, t.size);
      }
    }
  });

/**
 * A recorded optimization of one parameter vector: the gradient of every step, and what an optimizer made of it in
 * float32 and in float64. Slots are the final ones, under PyTorch's names; hyperparameters are under adakit's.
 */
export type Trajectory = z.infer<typeof trajectorySchema>;

/**
 * Reads the text of a trajectory file.
 *
 * @param source the file's name, for error messages
 * @throws AdakitError naming every field that is wrong
 */
export function parseTrajectory(text: string, source: string): Trajectory {
  const result = trajectorySchema.safeParse(parseJson(text, source));
  if (result.success) {
    const { optimizer, hyperparameters } = result.data;
    return { ...result.data, hyperparameters: camelCaseKeys(optimizer, hyperparameters) };
  }
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || 'the file'} ${issue.message}`);
  throw new AdakitError('invalid-state', `${source}: not a trajectory: ${issues.slice(0, 10).join('; ')}`);
}

/** PyTorch's name of a slot: `expAvgSq` is `exp_avg_sq`, and AdaDiff's authors call the previous gradient `dp`. */
export function torchSlotName(slot: string): string {
  return slot === 'prevGrad' ? 'dp' : slot.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A vector as a tensor of either precision. */
export function vectorTensor(values: readonly number[], precision: 'float32' | 'float64'): TensorData {
  return precision === 'float32'
    ? { dtype: 'float32', shape: [values.length], data: Float32Array.from(values) }
    : { dtype: 'float64', shape: [values.length], data: Float64Array.from(values) };
}

/** @throws AdakitError naming the file */
export function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AdakitError('invalid-state', `${source}: not JSON: ${(error as Error).message}`, { cause: error });
  }
}
