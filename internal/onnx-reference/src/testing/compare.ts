/**
 * The largest difference, relative to the largest magnitude of the expected numbers (absolute when they are all 0).
 *
 * @param terms magnitude of the terms that the numbers are differences of, where these cancel
 */
export function relativeError(actual: readonly number[], expected: readonly number[], terms = 0): number {
  if (actual.length !== expected.length) return Infinity;
  let scale = terms;
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) return Infinity;
    scale = Math.max(scale, Math.abs(expected[i]));
    error = Math.max(error, Math.abs(actual[i] - expected[i]));
  }
  return error / (scale || 1);
}

/** Numbers in [-1, 1) from a seed, the same on every machine (a linear congruential generator). */
export function randomNumbers(count: number, seed: number): number[] {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
