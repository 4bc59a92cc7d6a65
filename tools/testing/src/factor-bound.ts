import { jacobiSweeps, type FactorName, type HostFactor } from '@adakit/core';
import type { Approximation, Rounding } from './error-bound.js';

/**
 * A factor of a matrix with a bound on how far a backend's may be from it: what the matrix's own error can move it, and the
 * rounding of the algorithm, which as a backward error is a change of the matrix.
 *
 * All bounds are on the norm of a column and stand for each of its elements. Elements of orthonormal columns are at most 1,
 * so that no bound needs to be more than 2 and the rounding; so much is known where a factor is not determined.
 */
export function boundFactor(
  op: FactorName,
  compute: HostFactor,
  matrix: Approximation,
  [rows, cols]: readonly number[],
  rounding: Rounding,
): Approximation {
  const value = compute(matrix.value, rows, cols);
  const finite = [...matrix.value, ...matrix.error, ...value].every(Number.isFinite);
  const sized = [...matrix.value].every((x, i) => Math.abs(x) + matrix.error[i] <= rounding.largest);
  if (!finite || !sized) return { value, error: new Float64Array(value.length).fill(Infinity) };
  const columns = op === 'orthonormal' ? orthonormal : eigenvectors;
  const bounds = columns(value, matrix, [rows, cols], rounding);
  return { value, error: value.map((_, i) => bounds[i % cols]) };
}

/** γₙ = nu/(1 − nu). */
const gamma = (n: number, unit: number): number => (n * unit < 1 ? (n * unit) / (1 - n * unit) : Infinity);

type ColumnBounds = (
  value: Float64Array,
  matrix: Approximation,
  dims: readonly [rows: number, cols: number],
  rounding: Rounding,
) => readonly number[];

/**
 * Q moves by no more than (1 + √2)δ/(1 − δ), δ = ‖A⁺‖₂‖ΔA‖F < 1 (Sun 1991; Higham, §19.9), and is the same for columns of any
 * lengths: all are taken to have length 1.
 *
 * A reflection I − vvᵀ/v₀ of m rows is computed within γ of itself in norm (Higham, §19.3): m + 2 roundings in ‖x‖, 2 more in
 * each element of v, 2 in v₀, and with ‖v‖² = 2v₀ twice those of both vectors, of two products of m terms and of the
 * subtraction. One after the other they make a backward error of so many times γ for each column, and as much in Q.
 */
const orthonormal: ColumnBounds = (value, { value: a, error }, [rows, cols], { unit, underflow }) => {
  const count = Math.min(rows, cols);
  const column = (x: ArrayLike<number>, j: number) => Array.from({ length: rows }, (_, i) => x[i * cols + j]);
  const own = 2 * count * gamma(8 * rows + 24, unit);
  const lengths = Array.from({ length: count }, (_, j) => Math.hypot(...column(a, j)));
  const errors = lengths.map((length, j) => Math.hypot(...column(error, j)) / length);
  const moved = Math.hypot(...errors) + (own + unit) * Math.sqrt(count) + underflow;
  // R of the columns of length 1, and the norm of its inverse.
  const q = Array.from({ length: count }, (_, j) => column(value, j));
  const r = lengths.map((length, j) =>
    q.slice(0, j + 1).map((vector) => vector.reduce((sum, x, i) => sum + x * a[i * cols + j], 0) / length),
  );
  const delta = Math.hypot(...inverse(r).flat()) * moved;
  const bound = delta < 1 ? ((1 + Math.SQRT2) * delta) / (1 - delta) : 2;
  const all = Math.min(bound, 2) + own;
  return Array.from({ length: cols }, (_, j) => (j < count ? all : 0));
};

/** The inverse of an upper triangular matrix, both as columns down to the diagonal. */
function inverse(r: readonly (readonly number[])[]): number[][] {
  return r.map((_, j) => {
    const x = new Array<number>(j + 1).fill(0);
    for (let i = j; i >= 0; i--) {
      let sum = i === j ? 1 : 0;
      for (let k = i + 1; k <= j; k++) sum -= r[k][i] * x[k];
      x[i] = sum / r[i][i];
    }
    return x;
  });
}

/**
 * An eigenvector turns by an angle θ with sin θ ≤ ‖ΔA‖/(gap − ‖ΔA‖) (Davis & Kahan 1970; Golub & Van Loan, §8.1), and moves by
 * no more than √2 sin θ where its sign is decided. Where the gap to the next eigenvalue is no more than 2‖ΔA‖ they may change
 * places. Assumed of a backend that computes in its own precision: Jacobi's method in rounds of disjoint rotations, which has
 * found what it looks for when it ends. Whatever its angle, a rotation is one to 5 roundings in c and s and is applied with 2
 * more, from both sides of A and to the vectors (Higham, §19.6).
 */
const eigenvectors: ColumnBounds = (value, { value: a, error }, [n], { unit, underflow }) => {
  if (n === 1) return [0];
  const rounds = (n - 1 + (n % 2)) * jacobiSweeps(n);
  const own = rounds * Math.SQRT2 * gamma(7, unit);
  /** Only the lower triangle is read. */
  const lower = (x: ArrayLike<number>) => (i: number, j: number) => x[Math.max(i, j) * n + Math.min(i, j)];
  const norm = (x: (i: number, j: number) => number) =>
    Math.hypot(...Array.from({ length: n * n }, (_, k) => x(Math.floor(k / n), k % n)));
  const [matrix, moved] = [lower(a), lower(error)];
  const size = norm(matrix);
  const change = norm(moved) + (2 * own + 2 * unit) * size + n * underflow;
  const vector = (j: number) => Array.from({ length: n }, (_, i) => value[i * n + j]);
  const eigenvalues = Array.from({ length: n }, (_, j) => {
    const v = vector(j);
    return v.reduce((sum, x, i) => sum + x * v.reduce((row, y, k) => row + matrix(i, k) * y, 0), 0);
  });
  return eigenvalues.map((lambda, j) => {
    const gap = Math.min(...eigenvalues.map((other, k) => (k === j ? Infinity : Math.abs(lambda - other))));
    if (!(gap > 2 * change)) return 2 + own;
    const bound = Math.min((Math.SQRT2 * change) / (gap - change), 2) + own;
    const v = vector(j);
    const leading = Math.max(...v);
    const signIsOpen = v.some((x) => x < 0 && -x >= leading - 2 * bound);
    return signIsOpen ? 2 + own : bound;
  });
};
