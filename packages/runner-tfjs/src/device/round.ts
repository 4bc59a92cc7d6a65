import type { NarrowFormat } from '@adakit/core';
import {
  abs,
  add,
  div,
  greater,
  isFinite as isFiniteTensor,
  logicalAnd,
  maximum,
  mul,
  neg,
  sub,
  where,
  type Tensor,
} from '@tensorflow/tfjs-core';

interface Format {
  /** Bits of a significand. */
  readonly precision: number;
  /** From here down, steps stay as they are. */
  readonly smallestNormal: number;
  /** From here up, infinity is nearest. */
  readonly overflow: number;
}

const formats: Readonly<Record<NarrowFormat, Format>> = {
  float16: { precision: 11, smallestNormal: 2 ** -14, overflow: 65520 },
  bfloat16: { precision: 8, smallestNormal: 2 ** -126, overflow: Infinity },
};

/** Beyond these, numbers are scaled, so that no product below overflows or loses bits. */
const [LARGE, SMALL, SCALE] = [2 ** 60, 2 ** -60, 2 ** 64];

/**
 * Rounds to the nearest number of a narrow format, ties to even, with float32 operations alone: adding and then
 * subtracting 1.5 · 2²³ steps rounds to a whole number of steps. Backends must round every operation to float32; those that
 * flush subnormal numbers to zero do so here as well.
 */
export function roundTensor(format: NarrowFormat, x: Tensor): Tensor {
  const { precision, smallestNormal, overflow } = formats[format];
  const magnitude = abs(x);
  const [large, small] = [greater(magnitude, LARGE), greater(SMALL, magnitude)];
  const scale = where(large, 1 / SCALE, where(small, SCALE, 1));
  const scaled = mul(magnitude, scale);
  const floor = maximum(powerOfTwo(scaled), mul(scale, smallestNormal));
  const shift = mul(floor, 1.5 * 2 ** (24 - precision));
  const rounded = div(sub(add(scaled, shift), shift), scale);
  const limited = overflow === Infinity ? rounded : where(greater(overflow, magnitude), rounded, Infinity);
  const ordinary = logicalAnd(isFiniteTensor(x), greater(magnitude, 0));
  return where(ordinary, where(greater(0, x), neg(limited), limited), x);
}

/** The largest power of two not above x ≥ 0: x rounded to one bit (Veltkamp's splitting), halved if that was upwards. */
function powerOfTwo(x: Tensor): Tensor {
  const product = mul(x, 2 ** 23 + 1);
  const nearest = sub(product, sub(product, x));
  return where(greater(nearest, x), mul(nearest, 0.5), nearest);
}
