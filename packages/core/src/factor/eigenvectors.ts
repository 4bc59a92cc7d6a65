import type { FloatArray } from '../tensor/tensor-data.js';
import { lengthOf } from './factor.js';

/** More steps for each eigenvalue than any matrix needs; the bound is for matrices that are none. */
const MOST_STEPS = 60;

/**
 * The eigenvectors of a symmetric matrix as columns: reflections make it tridiagonal, QR steps with Wilkinson's shift diagonal
 * (Golub & Van Loan, Matrix Computations, 4th ed., §8.3). Eigenvalues descend, equal ones in the order of their columns; of
 * each vector the largest element by magnitude, the first where there are several, is positive. Only the lower triangle is
 * read. NaN throughout where anything is not finite.
 */
export function symmetricEigenvectors(matrix: FloatArray, n: number): Float64Array {
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = matrix[i * n + j];
  const size = lengthOf(a, 0, n * n);
  if (!Number.isFinite(size)) return new Float64Array(n * n).fill(NaN);
  const v = tridiagonalize(a, n);
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * n + i]);
  const beside = Float64Array.from({ length: Math.max(n - 1, 0) }, (_, i) => a[i * n + i + 1]);
  diagonalize(diagonal, beside, v, ((Number.EPSILON / 2) * size) / n);
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => diagonal[j] - diagonal[i]);
  const result = new Float64Array(n * n);
  order.forEach((row, column) => {
    let largest = row * n;
    for (let k = row * n; k < (row + 1) * n; k++) if (Math.abs(v[k]) > Math.abs(v[largest])) largest = k;
    const sign = v[largest] < 0 ? -1 : 1;
    for (let k = 0; k < n; k++) result[k * n + column] = sign * v[row * n + k];
  });
  return result;
}

/** Makes `a` QᵀAQ, tridiagonal. @returns the columns of Q, as rows */
function tridiagonalize(a: Float64Array, n: number): Float64Array {
  const q = new Float64Array(n * n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  const [v, w] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n - 2; k++) {
    const first = k + 1;
    if (lengthOf(a, k * n + first + 1, n - first - 1) === 0) continue;
    for (let i = first; i < n; i++) v[i] = a[k * n + i];
    const length = lengthOf(v, first, n - first);
    const sign = v[first] < 0 ? -1 : 1;
    v[first] += sign * length;
    // The reflection is I − vvᵀ/half.
    const half = length * Math.abs(v[first]);
    let along = 0;
    for (let i = first; i < n; i++) {
      w[i] = dot(a, i * n, v, first, n) / half;
      along += w[i] * v[i];
    }
    for (let i = first; i < n; i++) w[i] -= (along / (2 * half)) * v[i];
    for (let i = first; i < n; i++) {
      for (let j = first; j < n; j++) a[i * n + j] -= v[i] * w[j] + w[i] * v[j];
    }
    a[k * n + first] = -sign * length;
    for (let row = 0; row < n; row++) {
      const part = dot(q, row * n, v, first, n) / half;
      for (let j = first; j < n; j++) q[row * n + j] -= part * v[j];
    }
  }
  return Float64Array.from({ length: n * n }, (_, k) => q[(k % n) * n + Math.floor(k / n)]);
}

/** Σ of the elements of a row times those of `v`, from `first` on. */
function dot(x: Float64Array, row: number, v: Float64Array, first: number, n: number): number {
  let total = 0;
  for (let j = first; j < n; j++) total += x[row + j] * v[j];
  return total;
}

/** Rotates a tridiagonal matrix until nothing is left beside its diagonal, and rows of `v` with it. */
function diagonalize(diagonal: Float64Array, beside: Float64Array, v: Float64Array, negligible: number): void {
  const n = diagonal.length;
  const isOpen = (k: number): boolean => Math.abs(beside[k]) > negligible;
  let high = n - 1;
  for (let steps = 0; high > 0 && steps < MOST_STEPS * n; steps++) {
    if (!isOpen(high - 1)) {
      high--;
      continue;
    }
    let low = high - 1;
    while (low > 0 && isOpen(low - 1)) low--;
    // The eigenvalue of the last two rows that is nearer to the last element.
    const half = (diagonal[high - 1] - diagonal[high]) / 2;
    const last = beside[high - 1];
    const shift = diagonal[high] - last * (last / (half + (half < 0 ? -1 : 1) * Math.hypot(half, last)));
    let [x, z] = [diagonal[low] - shift, beside[low]];
    for (let k = low; k < high; k++) {
      const length = Math.hypot(x, z);
      const [c, s] = length === 0 ? [1, 0] : [x / length, z / length];
      if (k > low) beside[k - 1] = length;
      const [upper, lower, between] = [diagonal[k], diagonal[k + 1], beside[k]];
      const moved = s * (2 * c * between + s * (lower - upper));
      diagonal[k] = upper + moved;
      diagonal[k + 1] = lower - moved;
      beside[k] = c * s * (lower - upper) + (c - s) * (c + s) * between;
      if (k + 1 < high) {
        [x, z] = [beside[k], s * beside[k + 1]];
        beside[k + 1] *= c;
      }
      rotate(v, k * n, n, c, s);
    }
  }
}

/** Turns a row and the next in the plane that they span. */
function rotate(x: Float64Array, row: number, count: number, c: number, s: number): void {
  for (let i = row; i < row + count; i++) {
    const [left, right] = [x[i], x[i + count]];
    x[i] = c * left + s * right;
    x[i + count] = c * right - s * left;
  }
}
