import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** The axes from `first` to the last. */
export function axesFrom(first: number, rank: number): number[] {
  return Array.from({ length: rank - first }, (_, i) => first + i);
}

/** The mean over `axes`, which stay as axes of length 1. */
export function mean(e: Emitter, x: Value, axes: readonly number[]): Value {
  return e.node('ReduceMean', [x, e.int64(axes)]);
}

/** (x − E x) r with r = 1 / √(Var x + ε) over `axes`, with the mean, the variance (not the unbiased one) and r. */
export function standardize(
  e: Emitter,
  x: Value,
  axes: readonly number[],
  epsilon: number,
): { readonly standardized: Value; readonly mean: Value; readonly variance: Value; readonly inverse: Value } {
  const center = mean(e, x, axes);
  const centered = e.sub(x, center);
  const variance = mean(e, e.square(centered), axes);
  const inverse = e.node('Reciprocal', [e.sqrt(e.add(variance, e.scalar(epsilon, x)))]);
  return { standardized: e.mul(centered, inverse), mean: center, variance, inverse };
}

/** A vector of one number a channel, laid along axis 1 of a value of the given rank. */
export function alongChannels(e: Emitter, vector: Value, rank: number): Value {
  return e.unsqueeze(vector, axesFrom(1, rank - 1));
}

/** x a + b, or x a, with vectors a and b of one number a channel. */
export function scaleChannels(e: Emitter, x: Value, a: Value, b?: Value): Value {
  const rank = x.shape?.length ?? 2;
  const scaled = e.mul(x, alongChannels(e, a, rank));
  return b === undefined ? scaled : e.add(scaled, alongChannels(e, b, rank));
}
