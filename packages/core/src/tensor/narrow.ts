import type { NarrowFormat } from '../expression/expression.js';

/** Bits of the significand, exponent of the smallest normal number, and the largest number. */
const formats: Readonly<
  Record<NarrowFormat, { readonly bits: number; readonly least: number; readonly most: number }>
> = {
  float16: { bits: 11, least: -14, most: 65504 },
  bfloat16: { bits: 8, least: -126, most: (2 - 2 ** -7) * 2 ** 127 },
};

const words = new DataView(new ArrayBuffer(8));

/** The nearest number of a narrow format, ties to even; from half a step beyond its range on, infinity. */
export function roundTo(format: NarrowFormat, x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const { bits, least, most } = formats[format];
  words.setFloat64(0, x);
  const exponent = Math.max(((words.getUint32(0) >>> 20) & 0x7ff) - 1023, least);
  // Numbers of the format around x are whole multiples of this step.
  const step = 2 ** (exponent - bits + 1);
  const magnitude = Math.abs(x) / step;
  // Adding and subtracting 2^52 rounds to a whole number, ties to even.
  const rounded = (magnitude + 2 ** 52 - 2 ** 52) * step;
  return (x < 0 ? -1 : 1) * (rounded > most ? Infinity : rounded);
}
