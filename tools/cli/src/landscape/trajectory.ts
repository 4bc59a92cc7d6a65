import { AdakitError, referenceDevice, Run, tensor64, type Optimizer } from '@adakit/core';
import type { Objective } from '@adakit/testing';

/** The way that an optimizer takes. */
export interface Trajectory {
  /** From the start on; the last is where it ended. */
  readonly points: readonly (readonly [x: number, y: number])[];
  /** The function at the end. */
  readonly value: number;
  /** The step that had no finite gradient any more, where there was one. */
  readonly diverged?: number;
}

/**
 * Runs a rule on the reference device, in float64. The two numbers are a matrix of one row, so that rules for matrices have
 * one; what takes in a second gradient gets the same again.
 */
export async function trajectory(
  optimizer: Optimizer,
  { value, gradient }: Objective,
  { start, steps }: { readonly start: readonly [number, number]; readonly steps: number },
): Promise<Trajectory> {
  const run = Run.start(referenceDevice(), optimizer, { position: tensor64([...start], SHAPE) });
  const points: (readonly [number, number])[] = [start];
  // Where gradients are taken; rules that average have other weights to be judged by.
  let trained: readonly number[] = start;
  try {
    for (let step = 1; step <= steps; step++) {
      const last = points[points.length - 1];
      try {
        const gradients = { position: tensor64([...gradient(trained)], SHAPE) };
        await run.applyGradients(gradients, { estimate: gradients });
      } catch (error) {
        if (!(error instanceof AdakitError) || error.code !== 'non-finite') throw error;
        return { points, value: value(last), diverged: step };
      }
      trained = [...(await run.weights('trained')).position.data];
      const { data } = (await run.weights()).position;
      if (![...data, ...trained].every(Number.isFinite)) return { points, value: value(last), diverged: step };
      points.push([data[0], data[1]]);
    }
  } finally {
    await run.dispose();
  }
  return { points, value: value(points[points.length - 1]) };
}

const SHAPE = [1, 2];
