import type { FloatArray } from '../tensor/tensor-data.js';

/**
 * Random numbers by counting: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Every
 * number is a function of its key and position alone, so it is the same on every backend, in any order, and again after
 * a resume.
 */
export interface RandomKey {
  /** The user's seed, a 32-bit integer. */
  readonly seed: number;
  /** Tells parameters apart: {@link nameKey} of the parameter. */
  readonly key: number;
  /** Number of the step. */
  readonly step: number;
  /** Tells the draws of one rule apart. */
  readonly stream: number;
}

/** Uniform in [0, 1), or standard normal. */
export type Distribution = 'uniform' | 'normal';

/**
 * Fills `target` with numbers uniform in [0, 1), multiples of 2⁻²⁴, or standard normal, by the inverse of the normal
 * distribution function, in the precision of the array.
 */
export function fillRandom(distribution: Distribution, key: RandomKey, target: FloatArray): void {
  const words = new Uint32Array(4);
  for (let i = 0; i < target.length; i += 4) {
    philox(words, i / 4, 0, key.step >>> 0, key.stream >>> 0, key.seed >>> 0, key.key >>> 0);
    const end = Math.min(4, target.length - i);
    for (let j = 0; j < end; j++) {
      // Half a step off zero, where the inverse of the distribution function is infinite.
      target[i + j] =
        distribution === 'uniform' ? (words[j] >>> 8) * 2 ** -24 : normalQuantile(((words[j] >>> 8) + 0.5) * 2 ** -24);
    }
  }
}

/** A 32-bit key of a name: FNV-1a. */
export function nameKey(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * Fills `target` with what dropout multiplies by: 0 with probability `rate`, else 1 / (1 − rate). An element is kept where
 * the uniform number of its place, as {@link fillRandom} draws it, is at least `rate`.
 */
export function fillDropout(rate: number, key: RandomKey, target: FloatArray): void {
  fillRandom('uniform', key, target);
  const kept = 1 / (1 - rate);
  for (let i = 0; i < target.length; i++) target[i] = target[i] < rate ? 0 : kept;
}

/** Ten rounds on the counter (c0, c1, c2, c3) under the key (k0, k1), into `out`. */
export function philox(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  // Signed integers throughout: engines keep them in registers, and no others.
  let [x0, x1, x2, x3, key0, key1] = [c0 | 0, c1 | 0, c2 | 0, c3 | 0, k0 | 0, k1 | 0];
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd251, 0x1f53, x0);
    const low0 = Math.imul(0xd2511f53, x0);
    const high1 = mulHigh(0xcd9e, 0x8d57, x2);
    const low1 = Math.imul(0xcd9e8d57, x2);
    x0 = high1 ^ x1 ^ key0;
    x1 = low1;
    x2 = high0 ^ x3 ^ key1;
    x3 = low0;
    key0 = (key0 + 0x9e3779b9) | 0;
    key1 = (key1 + 0xbb67ae85) | 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** The upper 32 bits of the product of two numbers of 32 bits, one given as halves, by products of halves. */
function mulHigh(aHigh: number, aLow: number, b: number): number {
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const [upper, lower] = [Math.imul(aHigh, bLow), Math.imul(aLow, bHigh)];
  const middle = (Math.imul(aLow, bLow) >>> 16) + (upper & 0xffff) + (lower & 0xffff);
  return (Math.imul(aHigh, bHigh) + (upper >>> 16) + (lower >>> 16) + (middle >>> 16)) | 0;
}

/** Coefficients of Acklam's rational approximation of the normal quantile; relative error below 1.15e-9. */
const [A, B, C, D] = [
  [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239],
  [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1],
  [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ],
  [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1],
];

const horner = (coefficients: readonly number[], x: number): number =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);

/** The x with Φ(x) = p, for p in (0, 1) (Acklam 2003): far finer than the 2⁻²⁴ steps of p. */
export function normalQuantile(p: number): number {
  const tail = 0.02425;
  if (p < tail) {
    const q = Math.sqrt(-2 * Math.log(p));
    return horner(C, q) / horner(D, q);
  }
  if (p > 1 - tail) return -normalQuantile(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return (horner(A, r) * q) / horner(B, r);
}
