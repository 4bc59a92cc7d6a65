import {
  concreteShape,
  elementCount,
  foldProgram,
  operation,
  reduction,
  type Extents,
  type OperationName,
  type Program,
  type ReductionName,
  type Shape,
} from '@adakit/core';
import { boundFactor } from './factor-bound.js';

/**
 * Running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.3) of programs.
 *
 * A program is evaluated in float64, and beside every value runs a bound on how far a computation that rounds each
 * operation to a shorter format may be from it. The bound follows from the operations alone: no constant in it is
 * fitted to any backend. It is what "equal up to rounding" means for one rule on one sequence of gradients: small where
 * the rule is well conditioned, large where it cancels (a parameter crossing zero, AdaBelief's g − m when g hardly
 * changes), whatever the hyperparameters.
 *
 * Assumed of a backend: + − × ÷ √ within one unit roundoff u of the exact result, elementary functions within 4u,
 * results below the normal range within half the smallest subnormal, sums and inner products of n terms in any order
 * (γₙ = nu/(1 − nu), §3.1). Where a value may overflow the format, nothing is known of it and of what depends on it: the
 * bound is infinite.
 */
export interface Approximation {
  readonly value: Float64Array;
  /** Bound on |computed − value|, element by element. */
  readonly error: Float64Array;
}

/** A format: its unit roundoff, half its smallest subnormal, its largest number, and rounding to it. */
export interface Rounding {
  readonly unit: number;
  readonly underflow: number;
  readonly largest: number;
  readonly round: (x: number) => number;
  /** Roundings of the result z of an operation, in units of u, where a backend has other ones than are assumed of all. */
  readonly roundings?: (op: OperationName, z: number, operands: readonly Bounded[]) => number;
}

/** Rounding to float32, to nearest with ties to even: IEEE 754 binary32. */
export const float32Rounding: Rounding = {
  unit: 2 ** -24,
  underflow: 2 ** -150,
  largest: (2 - 2 ** -23) * 2 ** 127,
  round: Math.fround,
};
export const float64Rounding: Rounding = {
  unit: 2 ** -53,
  underflow: 2 ** -1074,
  largest: Number.MAX_VALUE,
  round: (x) => x,
};

/**
 * float32 in shaders: the accuracies that WGSL promises (https://www.w3.org/TR/WGSL/#floating-point-accuracy), which are
 * those of Vulkan and of GLSL ES 3.2 as well. An ulp is 2u at most; sums and products may be rounded to either neighbour;
 * roots are 1/inverseSqrt(x), powers exp2(y · log2(x)). What is subnormal may be taken for zero: numbers that are given must
 * not be. Divisors are assumed to be within 2^±126.
 */
export const shaderRounding: Rounding = {
  ...float32Rounding,
  underflow: 2 ** -126,
  roundings(op, z, [a, b]) {
    switch (op) {
      case 'add':
      case 'sub':
      case 'mul':
      case 'square':
        return 2;
      case 'div':
        return 5;
      case 'sqrt':
        // The root's own 2 ulp and the division's 2.5.
        return 9.001;
      case 'exp':
        return exponential(a.x);
      case 'log':
        return logarithm(a.x, abs(z));
      case 'pow': {
        const exponent = abs(b.x * Math.log2(abs(a.x)));
        const moved = abs(b.x) * logarithm(a.x, 1) * max(1, abs(Math.log2(abs(a.x)))) + 2 * exponent;
        return exponential(exponent) + Math.LN2 * moved * 1.001;
      }
      default:
        return 0;
    }
  },
};

/** 3 + 2|x| ulp. */
function exponential(x: number): number {
  return 2 * (3 + 2 * abs(x));
}

/** 3 ulp, or 2⁻²¹ where the logarithm is near zero. */
function logarithm(x: number, magnitude: number): number {
  return x >= 0.5 && x <= 2 ? 8 / magnitude : 6;
}

/** An exactly known tensor. */
export function exact(values: ArrayLike<number>): Approximation {
  return { value: Float64Array.from(values), error: new Float64Array(values.length) };
}

/** A value in the analysis, with the shape that says how it meets others. */
interface Value extends Approximation {
  readonly shape: Shape;
}

/**
 * One run of a program with error bounds.
 *
 * @param inputs every device input, by its name
 * @param scalars one number for every instruction, from `evaluateScalars`; the device rounds them where they meet tensors
 * @returns every output, by its name, in memory of its own
 */
export function boundProgram(
  program: Program,
  inputs: Readonly<Record<string, Approximation>>,
  scalars: Float64Array,
  where: { readonly shape: readonly number[]; readonly extents: Extents },
  rounding: Rounding,
): Record<string, Approximation> {
  const dims = (shape: Shape): readonly number[] => concreteShape(shape, where.shape, where.extents);
  const generate = (shape: Shape, element: (i: number) => Bounded): Value => {
    const length = elementCount(dims(shape));
    const value = new Float64Array(length);
    const error = new Float64Array(length);
    for (let i = 0; i < length; i++) ({ x: value[i], e: error[i] } = element(i));
    return { value, error, shape };
  };
  const host = (index: number): Value => generate('number', () => rounded(scalars[index], rounding));
  /** Reads a value where an element of `shape` is wanted. */
  const reader = ({ value, error, shape }: Value, as: Shape): ((i: number) => Bounded) => {
    const at = position(shape, as, dims);
    return (i) => ({ x: value[at(i)], e: error[at(i)] });
  };

  const values = foldProgram<Value>(program, {
    constant: (_, __, index) => host(index),
    input: ({ name, type }, _, index) => (type.place === 'host' ? host(index) : { ...inputs[name], shape: type.shape }),
    elementwise({ op, type }, args, index) {
      if (type.place === 'host') return host(index);
      const [a, b = none, c = none] = args.map((arg) => reader(arg, type.shape));
      return generate(type.shape, (i) => boundOperation(op, [a(i), b(i), c(i)].slice(0, args.length), rounding));
    },
    reduce({ op, over, type }, [x]) {
      const read = reader(x, x.shape);
      if (over === 'all') return generate('number', () => boundReduction(op, x.value.length, read, rounding));
      const [rows, cols] = dims(x.shape);
      return over === 'cols'
        ? generate(type.shape, (row) => boundReduction(op, cols, (col) => read(row * cols + col), rounding))
        : generate(type.shape, (col) => boundReduction(op, rows, (row) => read(row * cols + col), rounding));
    },
    matMul({ type }, [a, b]) {
      const [, inner] = dims(a.shape);
      const [, cols] = dims(type.shape);
      const [left, right] = [reader(a, a.shape), reader(b, b.shape)];
      return generate(type.shape, (i) => {
        const [row, col] = [Math.floor(i / cols), i % cols];
        return boundProduct(inner, (k) => [left(row * inner + k), right(k * cols + col)], rounding);
      });
    },
    transpose({ type }, [x]) {
      const [rows, cols] = dims(type.shape);
      const read = reader(x, x.shape);
      return generate(type.shape, (i) => read((i % cols) * rows + Math.floor(i / cols)));
    },
    factor: ({ op, compute, type }, [x]) => ({
      ...boundFactor(op, compute, x, dims(type.shape), rounding),
      shape: type.shape,
    }),
    view: ({ type }, [x]) => ({ ...x, shape: type.shape }),
    broadcast: ({ type }, [x]) => generate(type.shape, reader(x, type.shape)),
    cast({ type, to }, [x]) {
      const read = reader(x, x.shape);
      return generate(type.shape, (i) => boundCast((value) => to.round(value), read(i)));
    },
    random({ distribution, stream, draw, args, type }) {
      const [seed, key, step] = args.map((arg) => scalars[arg]);
      const draws = new Float64Array(elementCount(dims(type.shape)));
      draw(distribution, { seed, key, step, stream }, draws);
      return generate(type.shape, (i) => rounded(draws[i], rounding));
    },
    index: ({ type }) => generate(type.shape, (i) => rounded(i, rounding)),
  });
  return Object.fromEntries(
    Object.entries(program.outputs).map(([name, index]) => {
      const { value, error } = values[index];
      return [name, { value: value.slice(), error: error.slice() }];
    }),
  );
}

/** Where, in the elements of a value of `shape`, the element for position i of `as` stands. */
function position(shape: Shape, as: Shape, dims: (shape: Shape) => readonly number[]): (i: number) => number {
  if (shape === 'number') return () => 0;
  if (typeof shape === 'string' || typeof as === 'string') return (i) => i;
  const [rows, cols] = dims(shape);
  const [, width] = dims(as);
  return (i) => (rows === 1 ? 0 : Math.floor(i / width)) * cols + (cols === 1 ? 0 : i % width);
}

/** Value and error bound of one element. */
export interface Bounded {
  readonly x: number;
  readonly e: number;
}

const { max, abs, sqrt } = Math;

/** A number that a device is given in its own format. */
function rounded(x: number, rounding: Rounding): Bounded {
  return { x, e: Object.is(x, rounding.round(x)) ? 0 : roundedError(x, 0, 1, rounding) };
}

/** How far errors of the operands may move the exact result z; the rounding of z comes on top. */
const propagate: Record<OperationName, (z: number, a: Bounded, b: Bounded, c: Bounded) => number> = {
  add: (_, a, b) => a.e + b.e,
  sub: (_, a, b) => a.e + b.e,
  mul: (_, a, b) => abs(a.x) * b.e + abs(b.x) * a.e + a.e * b.e,
  div: (z, a, b) => (b.e < abs(b.x) ? (a.e + abs(z) * b.e) / (abs(b.x) - b.e) : b.e === 0 ? 0 : Infinity),
  pow: boundPower,
  min: (_, a, b) => (a.x + a.e < b.x - b.e ? a.e : b.x + b.e < a.x - a.e ? b.e : max(a.e, b.e)),
  max: (_, a, b) => (a.x - a.e > b.x + b.e ? a.e : b.x - b.e > a.x + a.e ? b.e : max(a.e, b.e)),
  neg: (_, a) => a.e,
  abs: (_, a) => a.e,
  sign: (z, a) => (a.e < abs(a.x) || a.e === 0 ? 0 : 1 + abs(z)),
  square: (_, a) => (2 * abs(a.x) + a.e) * a.e,
  sqrt: (z, a) => max(sqrt(a.x + a.e) - z, z - sqrt(max(a.x - a.e, 0))),
  exp: (z, a) => atCorners((x) => Math.exp(x), z, a, a),
  log: (z, a) => (a.e < a.x ? atCorners((x) => Math.log(x), z, a, a) : a.e === 0 ? 0 : Infinity),
  floor: (_, a) => (a.e === 0 ? 0 : a.e + 1),
  mod: (_, a, b) => (a.e === 0 && b.e === 0 ? 0 : Infinity),
  equal: undecided,
  less: undecided,
  lessOrEqual: undecided,
  greater: undecided,
  greaterOrEqual: undecided,
  where: (_, condition, yes, no) =>
    condition.e > 0 ? max(yes.e, no.e) + abs(yes.x - no.x) : condition.x !== 0 ? yes.e : no.e,
};

/** Like the square root, a power of a value that is not negative assumes that its approximation is not negative. */
function boundPower(z: number, a: Bounded, b: Bounded): number {
  const mayBeZero = a.e > 0 && a.e >= abs(a.x);
  if (mayBeZero && b.x - b.e < 0) return Infinity;
  return atCorners((x, y) => (a.x >= 0 ? max(x, 0) : x) ** y, z, a, b);
}

/** A comparison whose operands' error intervals overlap may come out either way. */
function undecided(_: number, a: Bounded, b: Bounded): number {
  return a.e + b.e > 0 && !(abs(a.x - b.x) > a.e + b.e) ? 1 : 0;
}

/** A function monotone in each operand deviates most at a corner of the error box. */
function atCorners(f: (x: number, y: number) => number, z: number, a: Bounded, b: Bounded): number {
  const xs = [a.x - a.e, a.x + a.e];
  const ys = [b.x - b.e, b.x + b.e];
  return max(...xs.flatMap((x) => ys.map((y) => abs(f(x, y) - z))));
}

/** Roundings of the result, in units of u. Comparisons and exact operations have none. */
const roundings: Partial<Record<OperationName, number>> = {
  add: 1,
  sub: 1,
  mul: 1,
  div: 1,
  square: 1,
  sqrt: 1,
  pow: 4,
  exp: 4,
  log: 4,
};

/** γₙ = nu/(1 − nu): what n roundings one after the other may come to, as a fraction of the magnitude. */
function gamma(n: number, unit: number): number {
  return n * unit < 1 ? (n * unit) / (1 - n * unit) : Infinity;
}

/** Bound on the error of a result z whose exact value has moved by `propagated`, after `roundings` roundings. */
function roundedError(
  z: number,
  propagated: number,
  roundings: number,
  { unit, underflow, largest }: Rounding,
): number {
  const magnitude = abs(z) + propagated;
  const error = propagated + roundings * unit * magnitude + underflow;
  return magnitude + error <= largest ? error : Infinity;
}

/** The bound `error`, or where arithmetic gives none: a result of exact operands is NaN everywhere, others may be anything. */
function decided(z: number, error: number, operandsAreExact: boolean): number {
  if (!Number.isNaN(z) && !Number.isNaN(error)) return error;
  return operandsAreExact ? 0 : Infinity;
}

/** One element of an operation. */
export function boundOperation(op: OperationName, operands: readonly Bounded[], rounding: Rounding): Bounded {
  const [a, b = absent, c = absent] = operands;
  const z = operation(op).evaluate(a.x, b.x, c.x);
  const propagated = decided(z, propagate[op](z, a, b, c), a.e === 0 && b.e === 0 && c.e === 0);
  const times = rounding.roundings?.(op, z, operands) ?? roundings[op] ?? 0;
  // Zero from exact operands is exact: products of nonzero float32 numbers do not vanish in float64.
  const inexact = times > 0 && (abs(z) > 0 || propagated > 0);
  return { x: z, e: inexact ? roundedError(z, propagated, times, rounding) : propagated };
}

/** In the place of operands that an operation does not have. */
const absent: Bounded = { x: NaN, e: 0 };
const none = (): Bounded => absent;

/** Rounding never changes the order of numbers, so what an interval rounds to lies between what its ends round to. */
function boundCast(round: (x: number) => number, { x, e }: Bounded): Bounded {
  const z = round(x);
  return { x: z, e: e === 0 ? 0 : decided(z, max(round(x + e) - z, z - round(x - e)), false) };
}

function boundReduction(
  op: ReductionName,
  count: number,
  element: (i: number) => Bounded,
  { unit, underflow, largest }: Rounding,
): Bounded {
  const { term, combine, start, finish } = reduction(op);
  let total = start;
  let magnitude = 0;
  let propagated = 0;
  let most = 0;
  let operandsAreExact = true;
  for (let i = 0; i < count; i++) {
    const { x, e } = element(i);
    total = combine(total, term(x));
    magnitude += abs(term(x));
    propagated += op === 'norm' ? (2 * abs(x) + e) * e : e;
    most = max(most, e);
    operandsAreExact &&= e === 0;
  }
  const z = finish(total, count);
  // The largest of numbers that each move by no more than e moves by no more than e; nothing is rounded.
  if (op === 'largest') return { x: z, e: decided(z, most, operandsAreExact) };
  const inexact = magnitude > 0 || propagated > 0;
  const rounded = inexact ? gamma(count + 1, unit) * (magnitude + propagated) + count * underflow : 0;
  const sum: Bounded = { x: total, e: propagated + rounded };
  const moved = op === 'mean' ? sum.e / count : op === 'norm' ? propagate.sqrt(z, sum, sum, sum) : sum.e;
  const error = magnitude + sum.e > largest ? Infinity : moved + unit * (abs(z) + moved);
  return { x: z, e: decided(z, error, operandsAreExact) };
}

/** One element of a product of matrices: every product is rounded, and every sum. */
function boundProduct(
  inner: number,
  factors: (k: number) => readonly [Bounded, Bounded],
  { unit, underflow, largest }: Rounding,
): Bounded {
  let total = 0;
  let magnitude = 0;
  let propagated = 0;
  let operandsAreExact = true;
  for (let k = 0; k < inner; k++) {
    const [a, b] = factors(k);
    const z = a.x * b.x;
    total += z;
    magnitude += abs(z);
    propagated += propagate.mul(z, a, b, absent);
    operandsAreExact &&= a.e === 0 && b.e === 0;
  }
  const inexact = magnitude > 0 || propagated > 0;
  const error = inexact ? propagated + gamma(inner + 1, unit) * (magnitude + propagated) + inner * underflow : 0;
  return { x: total, e: decided(total, magnitude + error > largest ? Infinity : error, operandsAreExact) };
}
