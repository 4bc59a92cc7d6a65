import { describe, expect, it } from 'vitest';
import { fillDropout, fillRandom, nameKey, normalQuantile, philox, type RandomKey } from './philox.js';

describe('philox', () => {
  // The authors' known answers for philox4x32 with 10 rounds (Random123, tests/kat_vectors): counter, key, output.
  const answers: [string, string, string][] = [
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ];
  it.each(answers)('of the counter %s under the key %s is the authors’', (counter, key, expected) => {
    const words = (text: string): number[] => text.split(' ').map((word) => parseInt(word, 16));
    const [c0, c1, c2, c3] = words(counter);
    const [k0, k1] = words(key);
    const out = new Uint32Array(4);
    philox(out, c0, c1, c2, c3, k0, k1);
    expect([...out]).toEqual(words(expected));
  });
});

/** The normal distribution function: its series around 0, a continued fraction in the tail. */
function normalDistribution(x: number): number {
  if (x > 0) return 1 - normalDistribution(-x);
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x > -3) {
    let [term, total] = [x, x];
    for (let n = 1; n < 200; n++) total += term *= (x * x) / (2 * n + 1);
    return 0.5 + density * total;
  }
  let fraction = -x;
  for (let n = 200; n > 0; n--) fraction = -x + n / fraction;
  return density / fraction;
}

describe('the normal quantile', () => {
  const known: [number, number][] = [
    [0.5, 0],
    [0.975, 1.959963984540054],
    [0.99, 2.3263478740408408],
    [0.999, 3.090232306167813],
    [0.8413447460685429, 1],
    [0.0013498980316300933, -3],
    [2.866515718791939e-7, -5],
  ];
  it.each(known)('of %d is %d', (p, x) => {
    // The approximation is good to 1.15e-9 of x.
    expect(Math.abs(normalQuantile(p) - x)).toBeLessThanOrEqual(1.15e-9 * Math.abs(x));
  });

  it('undoes the distribution function for draws from one end to the other', () => {
    const draws = [
      0,
      1,
      2,
      1000,
      2 ** 23 - 1,
      2 ** 23,
      2 ** 24 - 1,
      ...Array.from({ length: 400 }, (_, i) => i * 41943),
    ];
    for (const draw of draws) {
      const p = (draw + 0.5) * 2 ** -24;
      const x = normalQuantile(p);
      const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
      // An error of 1.15e-9 of x, and the test's own cancellation.
      const allowed = 1.2e-9 * Math.abs(x) * density + 1e-15;
      expect(Math.abs(normalDistribution(x) - p), `at ${p}`).toBeLessThan(allowed);
    }
  });

  it('is odd', () => {
    for (const p of [0.25, 0.01, 2 ** -25]) expect(normalQuantile(1 - p)).toBe(-normalQuantile(p));
  });
});

describe('fillRandom', () => {
  const key: RandomKey = { seed: 7, key: nameKey('w'), step: 3, stream: 0 };
  const uniform = (changes: Partial<RandomKey>, length = 8): number[] => {
    const target = new Float64Array(length);
    fillRandom('uniform', { ...key, ...changes }, target);
    return [...target];
  };

  it('draws the same again, and the beginning of a longer sequence', () => {
    expect(uniform({})).toEqual(uniform({}));
    expect(uniform({}, 5)).toEqual(uniform({}, 13).slice(0, 5));
  });

  it.each(['seed', 'key', 'step', 'stream'] as const)('draws others for another %s', (part) => {
    const [a, b] = [uniform({}), uniform({ [part]: key[part] + 1 })];
    expect(a.filter((x, i) => x === b[i])).toEqual([]);
  });

  it('is the upper 24 bits of each word, so that float32 holds it exactly', () => {
    const words = new Uint32Array(4);
    philox(words, 0, 0, key.step, key.stream, key.seed, key.key);
    expect(uniform({}, 4)).toEqual([...words].map((word) => Math.floor(word / 256) / 2 ** 24));
    const narrow = new Float32Array(100);
    fillRandom('uniform', key, narrow);
    expect([...narrow]).toEqual(uniform({}, 100));
  });

  it('has the moments of its distribution', () => {
    const n = 40_000;
    const draw = (distribution: 'uniform' | 'normal'): Float64Array => {
      const target = new Float64Array(n);
      fillRandom(distribution, key, target);
      return target;
    };
    const moment = (values: Float64Array, k: number): number => values.reduce((sum, x) => sum + x ** k, 0) / n;
    // Within five standard deviations of the mean of n draws: √(Var xᵏ / n).
    const within = (actual: number, expected: number, variance: number): void => {
      expect(Math.abs(actual - expected)).toBeLessThan(5 * Math.sqrt(variance / n));
    };
    const [u, z] = [draw('uniform'), draw('normal')];
    within(moment(u, 1), 1 / 2, 1 / 12);
    within(moment(u, 2), 1 / 3, 1 / 5 - 1 / 9);
    within(moment(z, 1), 0, 1);
    within(moment(z, 2), 1, 2);
    within(moment(z, 3), 0, 15);
    within(moment(z, 4), 3, 96);
    expect(Math.min(...u)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...u)).toBeLessThan(1);
  });

  it('works on nothing and takes any integer as a seed', () => {
    expect(uniform({}, 0)).toEqual([]);
    expect(uniform({ seed: -1 })).toEqual(uniform({ seed: 2 ** 32 - 1 }));
  });
});

describe('fillDropout', () => {
  const key: RandomKey = { seed: 7, key: nameKey('layer'), step: 3, stream: 0 };

  it.each([0, 0.25, 0.9, 1])('keeps and scales where the uniform numbers are at least the rate %d', (rate) => {
    const [uniform, factors] = [new Float64Array(1000), new Float64Array(1000)];
    fillRandom('uniform', key, uniform);
    fillDropout(rate, key, factors);
    expect([...factors]).toEqual([...uniform].map((u) => (u < rate ? 0 : 1 / (1 - rate))));
  });
});

it('a name’s key is its FNV-1a hash of 32 bits', () => {
  // The empty string is the offset basis; "a" and "foobar" are in the reference's test vectors.
  expect(['', 'a', 'foobar'].map((name) => nameKey(name).toString(16))).toEqual(['811c9dc5', 'e40c292c', 'bf9cf968']);
  expect(nameKey('größe')).not.toBe(nameKey('grosse'));
});
