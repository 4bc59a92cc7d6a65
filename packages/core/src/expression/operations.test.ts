import { describe, expect, it } from 'vitest';
import { operation, operations, reduceInOrder, REDUCTION_BLOCK, type OperationName } from './operations.js';

describe('the table of operations', () => {
  const comparisons: [OperationName, string][] = [
    ['equal', '010'],
    ['less', '100'],
    ['lessOrEqual', '110'],
    ['greater', '001'],
    ['greaterOrEqual', '011'],
  ];
  it.each(comparisons)('%s compares smaller, equal and larger values, and NaN with nothing', (op, outcomes) => {
    const { evaluate } = operation(op);
    expect([evaluate(1, 2, NaN), evaluate(2, 2, NaN), evaluate(3, 2, NaN)].join('')).toBe(outcomes);
    expect(evaluate(NaN, 2, NaN) + evaluate(2, NaN, NaN) + evaluate(NaN, NaN, NaN)).toBe(0);
  });

  it.each(['min', 'max'] as const)('%s is NaN if either operand is', (op) => {
    expect(operation(op).evaluate(NaN, 1, NaN)).toBeNaN();
    expect(operation(op).evaluate(1, NaN, NaN)).toBeNaN();
  });

  it('where takes the third operand for 0 and the second otherwise', () => {
    expect(operation('where').evaluate(1, 2, 3)).toBe(2);
    expect(operation('where').evaluate(0, 2, 3)).toBe(3);
  });

  it('mod has the sign of the divisor', () => {
    const { evaluate } = operation('mod');
    expect([evaluate(7, 3, 0), evaluate(-1, 5, 0), evaluate(1, -5, 0), evaluate(6, 3, 0)]).toEqual([1, 4, -4, 0]);
  });

  it('marks exactly the comparisons as such', () => {
    const marked = Object.keys(operations).filter((op) => operation(op as OperationName).comparison === true);
    expect(marked).toEqual(comparisons.map(([op]) => op));
  });
});

describe('reduceInOrder', () => {
  const over = (name: 'sum' | 'mean' | 'norm' | 'largest', values: readonly number[]): number =>
    reduceInOrder(name, values.length, (i) => values[i]);

  it('is what its name says', () => {
    expect(over('sum', [1, 2, 6])).toBe(9);
    expect(over('mean', [1, 2, 6])).toBe(3);
    expect(over('norm', [2, -3, 6])).toBe(7);
    expect(over('largest', [-5, -2, -9])).toBe(-2);
  });

  it('of nothing is 0, NaN for the mean and −∞ for the largest', () => {
    expect(over('sum', [])).toBe(0);
    expect(over('norm', [])).toBe(0);
    expect(over('mean', [])).toBeNaN();
    expect(over('largest', [])).toBe(-Infinity);
  });

  it('is NaN as soon as one element is', () => {
    for (const name of ['sum', 'mean', 'norm', 'largest'] as const) expect(over(name, [1, NaN, 3, 4, 5])).toBeNaN();
  });

  it('adds element i to lane i mod 4, and lanes as (l₀ + l₁) + (l₂ + l₃)', () => {
    // 1 is lost beside 2^53, so the outcome tells who meets whom.
    const big = 2 ** 53;
    expect(over('sum', [big, 1, 1, 1])).toBe(big + 1 + (1 + 1));
    expect(over('sum', [big, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])).toBe(big);
    expect(over('sum', [big, 0, 1, 1, -big])).toBe(2);
  });

  it('takes blocks by themselves and joins them neighbour with neighbour', () => {
    const big = 2 ** 53;
    const blocks = (...firsts: readonly number[]): number =>
      reduceInOrder('sum', firsts.length * REDUCTION_BLOCK, (i) =>
        i % REDUCTION_BLOCK === 0 ? firsts[i / REDUCTION_BLOCK] : 0,
      );
    // (big + 1) + (1 + −big), then with the fifth.
    expect(blocks(big, 1, 1, -big, 1)).toBe(big + 1 + (1 - big) + 1);
    expect(blocks(big, 1, -big)).toBe(0);
    expect(blocks(1, 1, big, -big)).toBe(2);
  });
});
