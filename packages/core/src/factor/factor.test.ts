import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  deviceInput,
  eigenvectors,
  leadingColumns,
  matMul,
  orthonormal,
  transpose,
  type Tensor,
} from '../expression/expression.js';
import { symmetricEigenvectors } from './eigenvectors.js';
import { orthonormalColumns } from './orthonormal.js';

const numbers = (count: number, seed: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 + seed * 78.233) * 2);

/** aᵀb of matrices with so many rows. */
function inner(a: Float64Array, b: Float64Array, rows: number): Float64Array {
  const [m, n] = [a.length / rows, b.length / rows];
  return Float64Array.from({ length: m * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    return Array.from({ length: rows }, (_, row) => a[row * m + i] * b[row * n + j]).reduce((x, y) => x + y, 0);
  });
}
const identity = (n: number): number[] => Array.from({ length: n * n }, (_, k) => Number(k % (n + 1) === 0));
/** A few roundings for every element of a column. */
const close = (actual: Float64Array, expected: ArrayLike<number>): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((x, i) => {
    expect(Math.abs(x - expected[i])).toBeLessThan(1e-13);
  });
};

describe('orthonormal columns', () => {
  it.each([
    [1, 1],
    [4, 4],
    [7, 3],
    [33, 33],
  ])('of %i × %i: QᵀQ = I, QᵀA is upper triangular, with no element of the diagonal below zero', (rows, cols) => {
    const a = numbers(rows * cols, rows);
    const q = orthonormalColumns(a, rows, cols);
    close(inner(q, q, rows), identity(cols));
    inner(q, a, rows).forEach((x, k) => {
      const [i, j] = [Math.floor(k / cols), k % cols];
      if (i > j) expect(Math.abs(x)).toBeLessThan(1e-12);
      if (i === j) expect(x).toBeGreaterThan(0);
    });
  });

  it('stay orthonormal where columns depend on each other or are zero', () => {
    const [x, y] = [1, 2].map((seed) => numbers(4, seed));
    const a = Float64Array.from({ length: 16 }, (_, k) => [x[k >> 2], 2 * x[k >> 2], 0, y[k >> 2]][k & 3]);
    const q = orthonormalColumns(a, 4, 4);
    close(inner(q, q, 4), identity(4));
    expect([...orthonormalColumns(new Float64Array(9), 3, 3)]).toEqual(identity(3));
  });

  it('of a wide matrix are zero beyond the rows', () => {
    const q = orthonormalColumns(numbers(6, 5), 2, 3);
    close(inner(q, q, 2), [1, 0, 0, 0, 1, 0, 0, 0, 0]);
  });

  it('are the same for any scale, and NaN where something is not finite', () => {
    const a = numbers(9, 3);
    expect(orthonormalColumns(a.map((x) => x * 2 ** -60), 3, 3)).toEqual(orthonormalColumns(a, 3, 3)); // prettier-ignore
    for (const bad of [NaN, Infinity]) {
      expect([...orthonormalColumns(Float64Array.of(bad, 1, 0, 1), 2, 2)]).toEqual([NaN, NaN, NaN, NaN]);
    }
  });
});

describe('eigenvectors', () => {
  it.each([1, 2, 5, 30])('of %i rows diagonalize, eigenvalues descending, the largest element positive', (n) => {
    const half = numbers(n * n, n);
    const a = Float64Array.from({ length: n * n }, (_, k) => half[k] + half[(k % n) * n + Math.floor(k / n)]);
    const v = symmetricEigenvectors(a, n);
    close(inner(v, v, n), identity(n));
    const diagonal = inner(v, inner(a, v, n), n);
    diagonal.forEach((x, k) => {
      if (k % (n + 1) !== 0) expect(Math.abs(x)).toBeLessThan(1e-12);
      else if (k > 0) expect(x).toBeLessThan(diagonal[k - n - 1]);
    });
    for (let j = 0; j < n; j++) {
      const vector = Array.from({ length: n }, (_, i) => v[i * n + j]);
      expect(Math.max(...vector)).toBe(Math.max(...vector.map(Math.abs)));
    }
  });

  it('of equal eigenvalues keep the order of columns, and only the lower triangle is read', () => {
    expect([...symmetricEigenvectors(new Float64Array(9), 3)]).toEqual(identity(3));
    expect([...symmetricEigenvectors(Float64Array.of(1, 99, 0, 2), 2)]).toEqual([0, 1, 1, 0]);
  });

  it('are NaN where something is not finite', () => {
    expect([...symmetricEigenvectors(Float64Array.of(1, 0, Infinity, 1), 2)]).toEqual([NaN, NaN, NaN, NaN]);
  });

  it('are for square matrices, orthonormal columns for matrices', () => {
    const x = deviceInput('param', 'param');
    expect(() => orthonormal(x)).toThrow("orthonormal takes a matrix, got the parameter's");
    expect(() => eigenvectors(asMatrix(x))).toThrow(
      'eigenvectors takes a matrix [rows, rows] or [cols, cols], got [rows, cols]',
    );
  });

  it('may be taken but for the last, of square matrices', () => {
    const x = asMatrix(deviceInput('param', 'param'));
    const leading = (of: Tensor) => leadingColumns(of, 'rank 2').type.shape;
    expect(leading(matMul(x, transpose(x)))).toEqual(['rows', 'rank 2']);
    expect(leading(matMul(transpose(x), x))).toEqual(['cols', 'rank 2']);
    for (const [other, shape] of [
      [x, '[rows, cols]'],
      [deviceInput('param', 'param'), "the parameter's"],
    ] as const) {
      expect(() => leading(other)).toThrow(`leadingColumns takes a matrix [rows, rows] or [cols, cols], got ${shape}`);
    }
  });
});
