import type { FloatArray } from '../tensor/tensor-data.js';
import { lengthOf } from './factor.js';

/** More sweeps than any matrix needs; the bound is for matrices that are none. */
const MOST_SWEEPS = 60;

/**
 * The eigenvectors of a symmetric matrix as columns, by Jacobi's method, pair after pair in order of rows (Golub & Van Loan,
 * §8.5.3). Eigenvalues descend, equal ones in the order of their columns; of each vector the largest element by magnitude,
 * the first where there are several, is positive. Only the lower triangle is read. NaN throughout where anything is not finite.
 */
export function symmetricEigenvectors(matrix: FloatArray, n: number): Float64Array {
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = matrix[i * n + j];
  const size = lengthOf(a, 0, n * n);
  if (!Number.isFinite(size)) return new Float64Array(n * n).fill(NaN);
  /** Vectors stand in rows. */
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  const negligible = (Number.EPSILON / 2) * size;
  let rotated = size > 0;
  for (let sweep = 0; rotated && sweep < MOST_SWEEPS; sweep++) {
    rotated = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = a[p * n + q];
        if (Math.abs(off) * n <= negligible) continue;
        rotated = true;
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(1 + theta * theta));
        const c = 1 / Math.sqrt(1 + t * t);
        const s = t * c;
        rotate(a, p * n, q * n, 1, n, c, s);
        rotate(a, p, q, n, n, c, s);
        rotate(v, p * n, q * n, 1, n, c, s);
        a[p * n + q] = a[q * n + p] = 0;
      }
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j] - a[i * n + i]);
  const result = new Float64Array(n * n);
  order.forEach((row, column) => {
    let largest = row * n;
    for (let k = row * n; k < (row + 1) * n; k++) if (Math.abs(v[k]) > Math.abs(v[largest])) largest = k;
    const sign = v[largest] < 0 ? -1 : 1;
    for (let k = 0; k < n; k++) result[k * n + column] = sign * v[row * n + k];
  });
  return result;
}

/** Turns two rows or columns, whose elements are `step` apart, in the plane that they span. */
function rotate(x: Float64Array, p: number, q: number, step: number, count: number, c: number, s: number): void {
  for (let k = 0, i = p, j = q; k < count; k++, i += step, j += step) {
    const [left, right] = [x[i], x[j]];
    x[i] = c * left - s * right;
    x[j] = s * left + c * right;
  }
}
