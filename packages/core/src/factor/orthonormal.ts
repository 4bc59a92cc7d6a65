import type { FloatArray } from '../tensor/tensor-data.js';
import { lengthOf } from './factor.js';

/**
 * Q of the factorization A = QR by Householder reflections (Golub & Van Loan, §5.2.2), with no element of the diagonal of R
 * below zero. Column j is reflected by H = I − vvᵀ/v₀ with v = e + s·x/‖x‖, where x are its elements from the diagonal down
 * and s the sign of the first of them; a column of zeros is left as it is. A NaN or infinity makes NaN of what it reaches.
 *
 * @param rows at least `cols`, or the columns beyond are zero
 */
export function orthonormalColumns(matrix: FloatArray, rows: number, cols: number): Float64Array {
  // The upper triangle becomes R; below, each column comes to hold its v.
  const r = Float64Array.from(matrix);
  const count = Math.min(rows, cols);
  const signs = new Float64Array(count);
  const sums = new Float64Array(cols);
  const reflect = (target: Float64Array, j: number, from: number): void => {
    const divisor = r[j * cols + j];
    if (divisor === 0) return;
    sums.fill(0, from);
    for (let i = j; i < rows; i++) {
      const v = r[i * cols + j];
      for (let k = from; k < cols; k++) sums[k] += v * target[i * cols + k];
    }
    for (let i = j; i < rows; i++) {
      const v = r[i * cols + j] / divisor;
      for (let k = from; k < cols; k++) target[i * cols + k] -= v * sums[k];
    }
  };
  for (let j = 0; j < count; j++) {
    const length = lengthOf(r, j * cols + j, rows - j, cols);
    const sign = r[j * cols + j] < 0 ? -1 : 1;
    signs[j] = length === 0 ? 1 : -sign;
    if (length === 0) continue;
    for (let i = j; i < rows; i++) r[i * cols + j] *= sign / length;
    r[j * cols + j] += 1;
    reflect(r, j, j + 1);
  }
  const q = new Float64Array(rows * cols);
  for (let j = count - 1; j >= 0; j--) {
    q[j * cols + j] = 1;
    reflect(q, j, j);
  }
  for (let i = 0; i < rows; i++) for (let j = 0; j < count; j++) q[i * cols + j] *= signs[j];
  return q;
}
