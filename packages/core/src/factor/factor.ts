import type { FloatArray } from '../tensor/tensor-data.js';

/** What can be made of a matrix as a whole; see {@link orthonormal} and {@link eigenvectors}. */
export type FactorName = 'orthonormal' | 'eigenvectors';

/**
 * Computes a factor of a matrix in float64, on the host. The elements of the result stand in row-major order, as those of
 * the matrix do; a device rounds them. One function for all devices on the host, so that they agree to the last bit.
 */
export type HostFactor = (matrix: FloatArray, rows: number, cols: number) => Float64Array;

/** √Σx² of `count` elements, `step` apart. */
export function lengthOf(x: FloatArray, first: number, count: number, step = 1): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += x[first + i * step] ** 2;
  return Math.sqrt(total);
}

/**
 * Sweeps of the parallel Jacobi method after which eigenvectors are taken to be found, for graphs that do not look whether
 * they are: it converges quadratically after about log₂ n (Golub & Van Loan, Matrix Computations, 4th ed., §8.5.6).
 */
export function jacobiSweeps(extent: number): number {
  return 6 + Math.ceil(Math.log2(Math.max(extent, 1)));
}
