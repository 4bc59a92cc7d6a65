import type { SlotSource } from '../component/component.js';
import { colIndex, matMul, rowIndex, sum, transpose, where, type Tensor } from '../expression/expression.js';

/**
 * Slots of a matrix that belong to its two sides, `[rows, rows]` and `[cols, cols]`. They are counterparts: they mean the
 * same, and change places where another layout exchanges rows and columns.
 *
 * @param of what both hold, see `SlotMeaning`
 */
export const bothSides = <const Left extends string, const Right extends string>(
  left: Left,
  right: Right,
  of: string,
) =>
  [
    { name: left, shape: ['rows', 'rows'], meaning: { of } },
    { name: right, shape: ['cols', 'cols'], meaning: { of } },
  ] as const satisfies readonly SlotSource[];

/**
 * Shampoo's statistics of a matrix G (Gupta et al. 2018): L of what its rows have in common, GGᵀ, and R of what its columns
 * have, GᵀG.
 *
 * @param gather the sum or average with a new product
 */
export function sideStatistics(
  g: Tensor,
  { left, right }: { readonly left: Tensor; readonly right: Tensor },
  gather: (before: Tensor, product: Tensor) => Tensor,
): { readonly left: Tensor; readonly right: Tensor } {
  return { left: gather(left, matMul(g, transpose(g))), right: gather(right, matMul(transpose(g), g)) };
}

/** The identity matrix over rows, `[rows, rows]`, or columns, `[cols, cols]`. */
export function identity(side: 'rows' | 'cols'): Tensor {
  const index = side === 'rows' ? rowIndex() : colIndex();
  return where(index.equal(transpose(index)), 1, 0);
}

/**
 * The permutation, as a matrix, that brings columns into the order of descending values: `matMul(a, descending(values))`.
 * Equal ones stay in their order.
 *
 * @param values one a column, `[1, rows]` or `[1, cols]`
 */
export function descending(values: Tensor): Tensor {
  const index = values.type.shape[1] === 'rows' ? transpose(rowIndex()) : colIndex();
  const [own, number] = [transpose(values), transpose(index)];
  const precedes = where(values.greater(own), 1, where(values.equal(own), where(index.less(number), 1, 0), 0));
  return where(sum(precedes, 'cols').equal(index), 1, 0);
}
