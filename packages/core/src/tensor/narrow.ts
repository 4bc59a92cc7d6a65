/** Arithmetic on numbers of any kind, by which {@link NarrowFormat.rounded} rounds; operands broadcast. */
export interface RoundingArithmetic<T> {
  abs(x: T): T;
  neg(x: T): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  max(a: T, b: T): T;
  less(a: T, b: T): T;
  where(condition: T, yes: T, no: T): T;
}

/** Beyond these, numbers are scaled, so that no product below overflows or loses bits. */
const [LARGE, SMALL, SCALE] = [2 ** 60, 2 ** -60, 2 ** 64];

/**
 * A format narrower than float32, whose numbers float32 has as well. It brings its rounding, so that who uses none loads
 * none.
 */
export class NarrowFormat {
  readonly name: NarrowName;
  /** Bits of a significand. */
  readonly #bits: number;
  /** Exponent of the smallest normal number: from there down, steps stay as they are. */
  readonly #least: number;
  /** From here up, infinity is nearest: half a step above the largest number. */
  readonly #overflow: number;

  constructor(name: NarrowName, bits: number, least: number, overflow: number) {
    this.name = name;
    this.#bits = bits;
    this.#least = least;
    this.#overflow = overflow;
  }

  toString(): string {
    return this.name;
  }

  /** The nearest number of the format, ties to even; from half a step beyond its range on, infinity. */
  round(x: number): number {
    if (!Number.isFinite(x) || x === 0) return x;
    const words = new DataView(new ArrayBuffer(8));
    words.setFloat64(0, x);
    const exponent = Math.max(((words.getUint32(0) >>> 20) & 0x7ff) - 1023, this.#least);
    // Numbers of the format around x are whole multiples of this step.
    const step = 2 ** (exponent - this.#bits + 1);
    const magnitude = Math.abs(x) / step;
    // Adding and subtracting 2^52 rounds to a whole number, ties to even.
    const rounded = (magnitude + 2 ** 52 - 2 ** 52) * step;
    return Math.sign(x) * (Math.abs(x) < this.#overflow ? rounded : Infinity);
  }

  /**
   * As {@link round}, with float32 operations alone: adding and then subtracting 1.5 · 2²³ steps rounds to a whole number of
   * steps. The arithmetic must round every operation to float32; one that flushes subnormal numbers to zero does so here as
   * well.
   *
   * @param number a number for the arithmetic
   */
  rounded<T>(arithmetic: RoundingArithmetic<T>, x: T, number: (value: number) => T): T {
    const { abs, neg, add, sub, mul, div, max, less, where } = arithmetic;
    const magnitude = abs(x);
    const [large, small] = [less(number(LARGE), magnitude), less(magnitude, number(SMALL))];
    const scale = where(large, number(1 / SCALE), where(small, number(SCALE), number(1)));
    const scaled = mul(magnitude, scale);
    // The largest power of two not above: one bit (Veltkamp's splitting), halved if that rounded upwards.
    const product = mul(scaled, number(2 ** 23 + 1));
    const nearest = sub(product, sub(product, scaled));
    const power = where(less(scaled, nearest), mul(nearest, number(0.5)), nearest);
    const floor = max(power, mul(scale, number(2 ** this.#least)));
    const shift = mul(floor, number(1.5 * 2 ** (24 - this.#bits)));
    const rounded = div(sub(add(scaled, shift), shift), scale);
    const limited = where(less(magnitude, number(this.#overflow)), rounded, number(Infinity));
    const signed = where(less(x, number(0)), neg(limited), limited);
    // Zeros keep their sign, infinities and NaN stay.
    return where(less(magnitude, number(Infinity)), where(less(number(0), magnitude), signed, x), x);
  }
}

/** What states and files call a {@link NarrowFormat}. */
export type NarrowName = 'float16' | 'bfloat16';

/** IEEE 754 binary16. */
export const float16 = /* @__PURE__ */ new NarrowFormat('float16', 11, -14, 65520);
/** The upper half of a float32. */
export const bfloat16 = /* @__PURE__ */ new NarrowFormat('bfloat16', 8, -126, 2 ** 128 - 2 ** 119);
