import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addDims,
  broadcastDims,
  ceilDivideDims,
  differentDims,
  divideExactly,
  equalDims,
  floorDivideDims,
  hasUnknown,
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
import { evaluateDim, solveDims, substituteDims } from './substitution.js';

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
      // 0 · (−1) is −0 for numbers.
      combine(multiplyDims, (x, y) => x * y + 0),
      combine(minDims, Math.min),
      combine(maxDims, Math.max),
      fc
        .tuple(tie('sample'), fc.integer({ min: 1, max: 6 }))
        .map(([[x, f], n]): Sample => [floorDivideDims(x, n), (a, b) => Math.floor(f(a, b) / n)]),
      // By something that is at least 1.
      combine(
        (x, y) => floorDivideDims(x, maxDims(y, 1)),
        (x, y) => Math.floor(x / Math.max(y, 1)),
      ),
    ),
  };
}).sample;

const size = fc.integer({ min: 1, max: 20 });

/** Sums, differences and products, in an order of their own. */
const shuffled = (dims: readonly Dim[]) => fc.shuffledSubarray([...dims], { minLength: dims.length });

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
        ).toBe(f(a, b));
      }),
    );
  });

  test('are one object where they are sums or products of the same dimensions in another order', () => {
    const orders = fc
      .array(sample, { minLength: 1, maxLength: 4 })
      .map((samples) => samples.map(([dim]) => dim))
      .chain((dims) => fc.tuple(shuffled(dims), shuffled(dims)));
    fc.assert(
      fc.property(orders, ([one, other]) => {
        for (const combine of [addDims, minDims, maxDims, multiplyDims]) {
          const [a, b] = [one.reduce(combine), other.reduce(combine)];
          // What has become too large is not known to be equal to anything.
          if (hasUnknown(a) || hasUnknown(b)) continue;
          if (combine === minDims || combine === maxDims) expect(differentDims(a, b)).toBe(false);
          else expect(a).toBe(b);
        }
      }),
    );
  });

  test('with numbers for symbols are what they evaluate to', () => {
    fc.assert(
      fc.property(sample, size, size, ([dim, f], a, b) => {
        expect(substituteDims(dim, (free) => (free === batch ? a : b))).toBe(f(a, b));
      }),
    );
  });

  test('are what they were when an equation is solved for one of them', () => {
    const [n, m, open] = [symbol('n'), symbol('m'), unknown(1, 1)];
    expect(solveDims(n, m)).toEqual([m, n]);
    expect(solveDims(multiplyDims(4, multiplyDims(n, height)), multiplyDims(height, multiplyDims(m, 4)))).toEqual([
      m,
      n,
    ]);
    expect(solveDims(addDims(open, 2), multiplyDims(3, n))).toEqual([open, subtractDims(multiplyDims(3, n), 2)]);
    // A free dimension stays free: what makes it a number is one way of using the model.
    expect(solveDims(n, 3)).toBeUndefined();
    expect(solveDims(n, multiplyDims(2, m))).toBeUndefined();
    expect(solveDims(open, floorDivideDims(open, 2))).toBeUndefined();
  });

  test('do not grow without end: what is too large becomes unknown, with its lower bound', () => {
    let square: Dim = batch;
    for (let i = 0; i < 40; i++) square = addDims(multiplyDims(square, square), 1);
    expect(hasUnknown(square)).toBe(true);
    expect(isAtLeast(square, 2)).toBe(true);

    let rest: Dim = batch;
    for (let i = 0; i < 2000; i++) {
      const remainder = subtractDims(rest, multiplyDims(7, floorDivideDims(rest, 7)));
      rest = maxDims(floorDivideDims(rest, 3), remainder);
      expect(String(rest).length).toBeLessThan(20_000);
    }
  });

  test('beyond what numbers hold exactly are unknown', () => {
    expect(hasUnknown(multiplyDims(2 ** 40, 2 ** 40))).toBe(true);
    expect(hasUnknown(multiplyDims(multiplyDims(batch, 2 ** 40), 2 ** 40))).toBe(true);
    // INT64_MAX, "to the end", is no size.
    expect(addDims(2 ** 63, 0)).toBe(2 ** 63);
  });

  test('of strided layers one after the other are one floor division', () => {
    const halved = (dim: Dim) => addDims(floorDivideDims(subtractDims(addDims(dim, 2), 3), 2), 1);
    expect(String(halved(halved(halved(height))))).toBe('floor((height + 7) / 8)');
    expect(String(floorDivideDims(multiplyDims(2, height), 4))).toBe('floor(height / 2)');
  });

  test('broadcast any number of free dimensions in any order', () => {
    const width = symbol('width');
    const all = broadcastDims(broadcastDims(batch, height) ?? 0, width) ?? 0;
    expect(broadcastDims(width, broadcastDims(height, broadcastDims(batch, all) ?? 0) ?? 0)).toBe(all);
    expect(String(all)).toBe('broadcast(batch, height, width)');
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
