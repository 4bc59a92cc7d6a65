import { bfloat16, float16 } from '@adakit/core';

/** The number that the 16 bits of an IEEE 754 binary16 stand for: a sign, 5 bits of exponent (bias 15), 10 of fraction. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** The number that the 16 bits of a bfloat16 stand for, which are the upper half of a float32. */
export function bfloat16ToFloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** The bits of the binary16 nearest to a number, ties to even; from 65520 on it is infinite. */
export function floatToHalf(value: number): number {
  single[0] = float16.round(value);
  const [bits] = singleBits;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(single[0]);
  if (Number.isNaN(magnitude)) return 0x7e00;
  if (magnitude === Infinity) return sign | 0x7c00;
  // Below the smallest normal number they are multiples of 2⁻²⁴.
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24);
  return sign | (((bits & 0x7fffffff) - ((127 - 15) << 23)) >>> 13);
}

/** The bits of the bfloat16 nearest to a number, ties to even. */
export function floatToBfloat16(value: number): number {
  single[0] = bfloat16.round(value);
  return singleBits[0] >>> 16;
}
