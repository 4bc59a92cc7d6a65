import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addDims,
  broadcastDims,
  ceilDivideDims,
  differentDims,
  divideExactly,
  equalDims,
  evaluateDim,
  floorDivideDims,
  isAtLeast,
  lowerBound,
  maxDims,
  minDims,
  multiplyDims,
  productOfDims,
  subtractDims,
  symbol,
  symbolName,
  unknown,
  type Dim,
} from './dim.js';

const batch = symbol('batch');
const height = symbol('height');

/** An expression as a dimension and as a function of the symbols. */
type Sample = [Dim, (a: number, b: number) => number];

const sample: fc.Arbitrary<Sample> = fc.letrec<{ sample: Sample }>((tie) => {
  const combine = (f: (x: Dim, y: Dim) => Dim, g: (x: number, y: number) => number): fc.Arbitrary<Sample> =>
    fc
      .tuple(tie('sample'), tie('sample'))
      .map(([[x, fx], [y, fy]]) => [f(x, y), (a: number, b: number) => g(fx(a, b), fy(a, b))]);
  return {
    sample: fc.oneof(
      { maxDepth: 4 },
      fc.constant<Sample>([batch, (a) => a]),
      fc.constant<Sample>([height, (_, b) => b]),
      fc.integer({ min: -5, max: 9 }).map((n): Sample => [n, () => n]),
      combine(addDims, (x, y) => x + y),
      combine(subtractDims, (x, y) => x - y),
      combine(multiplyDims, (x, y) => x * y),
      combine(minDims, Math.min),
      combine(maxDims, Math.max),
      fc
        .tuple(tie('sample'), fc.integer({ min: 1, max: 6 }))
        .map(([[x, f], n]): Sample => [floorDivideDims(x, n), (a, b) => Math.floor(f(a, b) / n)]),
    ),
  };
}).sample;

const size = fc.integer({ min: 1, max: 20 });

describe('symbolic dimensions', () => {
  test('evaluate to what the same arithmetic on numbers gives', () => {
    fc.assert(
      fc.property(sample, size, size, ([dim, f], a, b) => {
        expect(
          evaluateDim(
            dim,
            new Map([
              ['batch', a],
              ['height', b],
            ]),
          ),
        ).toBe(f(a, b) + 0);
      }),
    );
  });

  test('are never below their lower bound, and comparisons that are decided are right', () => {
    fc.assert(
      fc.property(sample, sample, size, size, ([x, fx], [y, fy], a, b) => {
        expect(fx(a, b)).toBeGreaterThanOrEqual(lowerBound(x));
        if (isAtLeast(x, y)) expect(fx(a, b)).toBeGreaterThanOrEqual(fy(a, b));
        if (equalDims(x, y)) expect(fx(a, b) - fy(a, b)).toBe(0);
        if (differentDims(x, y)) expect(fx(a, b)).not.toBe(fy(a, b));
      }),
    );
  });

  test('an exact quotient times the divisor is the dividend', () => {
    fc.assert(
      fc.property(sample, sample, ([x], [y]) => {
        const quotient = divideExactly(multiplyDims(x, y), y);
        if (quotient !== undefined) expect(equalDims(multiplyDims(quotient, y), multiplyDims(x, y))).toBe(true);
        expect(y === 0).toBe(quotient === undefined && typeof y === 'number');
      }),
    );
  });

  test('have one form however they are written', () => {
    const once = addDims(multiplyDims(4, batch), batch);
    const other = multiplyDims(batch, 5);
    expect(equalDims(once, other)).toBe(true);
    expect(String(once)).toBe('5*batch');
    expect(subtractDims(once, other)).toBe(0);
    expect(String(subtractDims(multiplyDims(batch, height), 1))).toBe('batch*height - 1');
  });

  test('divide exactly through flattening and head splitting', () => {
    const flat = productOfDims([batch, 16, 5, 5]);
    expect(divideExactly(flat, batch)).toBe(400);
    expect(String(divideExactly(flat, 400))).toBe('batch');
    const padded = addDims(height, 2);
    const quotient = divideExactly(multiplyDims(multiplyDims(padded, padded), batch), padded);
    expect(String(quotient)).toBe('batch*height + 2*batch');
    expect(divideExactly(addDims(height, 1), 2)).toBeUndefined();
  });

  test('split whole parts off a floor division, as strided convolutions need', () => {
    const out = addDims(floorDivideDims(subtractDims(addDims(height, 2), 3), 2), 1);
    expect(String(out)).toBe('floor((height + 1) / 2)');
    expect(equalDims(out, ceilDivideDims(height, 2))).toBe(true);
    expect(String(floorDivideDims(addDims(multiplyDims(3, height), 5), 2))).toBe(
      'floor((height + 1) / 2) + height + 2',
    );
  });

  test('broadcast: 1 gives way, a known length wins over a free one, two free ones stay open', () => {
    expect(broadcastDims(1, batch)).toBe(batch);
    expect(broadcastDims(batch, 5)).toBe(5);
    expect(broadcastDims(batch, batch)).toBe(batch);
    expect(broadcastDims(3, 4)).toBeUndefined();
    expect(broadcastDims(0, 1)).toBe(0);
    expect(broadcastDims(addDims(batch, 1), addDims(batch, 2))).toBeUndefined();
    const open = broadcastDims(batch, height);
    expect(String(open)).toBe('broadcast(batch, height)');
    for (const [a, b, expected] of [
      [1, 7, 7],
      [7, 1, 7],
      [7, 7, 7],
    ]) {
      expect(
        evaluateDim(
          open ?? 0,
          new Map([
            ['batch', a],
            ['height', b],
          ]),
        ),
      ).toBe(expected);
    }
  });

  test('a free dimension is at least 1, may be 1, and an unknown one equals only itself', () => {
    expect(isAtLeast(batch, 1)).toBe(true);
    expect(differentDims(batch, 1)).toBe(false);
    expect(differentDims(batch, 0)).toBe(true);
    expect(maxDims(subtractDims(batch, 1), 0)).toEqual(subtractDims(batch, 1));
    expect(equalDims(unknown(1, 1), unknown(1, 1))).toBe(true);
    expect(equalDims(unknown(1, 1), unknown(2, 1))).toBe(false);
    expect(differentDims(unknown(1, 1), unknown(2, 1))).toBe(false);
  });

  test('names that are no identifiers cannot be confused with expressions', () => {
    const odd = symbol('batch*height');
    expect(equalDims(odd, multiplyDims(batch, height))).toBe(false);
    expect(symbolName(odd)).toBe('batch*height');
    expect(symbolName(multiplyDims(2, batch))).toBeUndefined();
  });
});
