import { describe, expect, it } from 'vitest';
import { bfloat16, float16, type NarrowFormat } from './narrow.js';

/** What the bits of a number mean, by its definition. */
function decoded(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits >>> 15 === 1 ? -1 : 1;
  const exponent = (bits >>> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const formats: [NarrowFormat, exponentBits: number, fractionBits: number][] = [
  [float16, 5, 10],
  [bfloat16, 8, 7],
];

/** The float32 number next to x, away from zero or towards it. */
function neighbour(x: number, direction: 1 | -1): number {
  const data = new DataView(new ArrayBuffer(4));
  data.setFloat32(0, x);
  data.setUint32(0, data.getUint32(0) + direction);
  return data.getFloat32(0);
}

describe.each(formats)('rounding to %s', (format, exponentBits, fractionBits) => {
  it('keeps each of its 65,536 numbers', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const x = decoded(bits, exponentBits, fractionBits);
      const rounded = format.round(x);
      if (!Object.is(rounded, x)) expect.fail(`${x} becomes ${rounded}`);
    }
  });

  it('goes to the nearer of any two, to the even one from the middle, for numbers of either sign', () => {
    const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits;
    for (let bits = 0; bits < infinity; bits++) {
      const low = decoded(bits, exponentBits, fractionBits);
      const high = decoded(bits + 1, exponentBits, fractionBits);
      // Beyond the largest number, steps go on as if there were one more.
      const step = high === Infinity ? low - decoded(bits - 1, exponentBits, fractionBits) : high - low;
      const middle = low + step / 2;
      const cases: [number, number][] = [
        [neighbour(middle, -1), low],
        [middle, bits % 2 === 0 ? low : high],
        [neighbour(middle, 1), high],
        // What float32 cannot tell from the middle still counts in float64.
        [middle * (1 - 2 ** -52), low],
        [middle * (1 + 2 ** -52), high],
      ];
      for (const [x, nearest] of cases) {
        const [up, down] = [format.round(x), format.round(-x)];
        if (!Object.is(up, nearest) || !Object.is(down, -nearest)) expect.fail(`${x} becomes ${up}, not ${nearest}`);
      }
    }
  });

  it('is infinite far beyond, zero far below', () => {
    expect([1e300, -1e300, 1e-300, -1e-300].map((x) => format.round(x))).toEqual([Infinity, -Infinity, 0, -0]);
  });
});
