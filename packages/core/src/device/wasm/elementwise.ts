import type { DeviceOperationName } from '../../expression/operations.js';
import type { InstructionOf } from '../../program/fold.js';
import { demote, extract, f32x4, f64, i32x4, int, replace, v128, type Code } from './code.js';
import { callImport } from './imports.js';

/** A number in all four lanes. */
export const bits = (float: number): Code => i32x4.splat(int(new Int32Array(Float32Array.of(float).buffer)[0]));
export const signBit = bits(-0);

/** One of Math's functions, element by element, so that results are those of JavaScript. */
const perLane = (name: 'exp' | 'log' | 'pow', ...args: readonly Code[]): Code =>
  [0, 1, 2, 3].reduce<Code>((result, lane) => {
    const operands = args.map((arg) => f64.promote(extract(lane, arg)));
    return replace(lane, result, demote(callImport(name, ...operands)));
  }, args[0]);

/** The code of each operation on four elements. Comparisons give masks. */
export const operations = {
  add: f32x4.add,
  sub: f32x4.sub,
  mul: f32x4.mul,
  div: f32x4.div,
  pow: (a, b) => perLane('pow', a, b),
  min: f32x4.min,
  max: f32x4.max,
  neg: f32x4.neg,
  abs: f32x4.abs,
  // ±1 with the sign of x; x itself where it is ±0 or NaN.
  sign: (x) => v128.bitselect(v128.or(v128.and(x, signBit), bits(1)), x, f32x4.greater(f32x4.abs(x), bits(0))),
  square: (x) => f32x4.mul(x, x),
  sqrt: f32x4.sqrt,
  exp: (x) => perLane('exp', x),
  log: (x) => perLane('log', x),
  equal: f32x4.equal,
  less: f32x4.less,
  lessOrEqual: f32x4.lessOrEqual,
  greater: f32x4.greater,
  greaterOrEqual: f32x4.greaterOrEqual,
  where: (condition, yes, no) => v128.bitselect(yes, no, condition),
} as const satisfies Record<DeviceOperationName, (a: Code, b: Code, c: Code) => Code>;

/** Rounding to narrower formats; NaN stays. */
export const casts: Record<InstructionOf<'cast'>['to']['name'], (x: Code) => Code> = {
  /** The upper half of the bits; a carry from the lower half rounds up, ties to even. */
  bfloat16(x) {
    const even = v128.and(i32x4.shiftRight(x, int(16)), i32x4.splat(int(1)));
    const rounded = v128.and(i32x4.add(i32x4.add(x, i32x4.splat(int(0x7fff))), even), i32x4.splat(int(-0x10000)));
    return v128.bitselect(rounded, x, f32x4.equal(x, x));
  },
  /** Adding 2¹³ times a magnitude's power of two, at least 2⁻¹⁴, leaves no bits below the steps of float16. */
  float16(x) {
    const magnitude = f32x4.abs(x);
    const power = i32x4.max(v128.and(x, bits(Infinity)), bits(2 ** -14));
    const coarse = i32x4.add(power, i32x4.splat(int(13 << 23)));
    const whole = f32x4.sub(f32x4.add(magnitude, coarse), coarse);
    const finite = v128.bitselect(whole, bits(Infinity), f32x4.less(magnitude, bits(65520)));
    return v128.bitselect(v128.or(finite, v128.and(x, signBit)), x, f32x4.equal(x, x));
  },
};
