import { isReduction, operation, type OperationName, type Program } from '@adakit/core';

/**
 * Running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.3) of update programs.
 *
 * A program is evaluated in float64, and beside every value runs a bound on how far a computation that rounds each
 * operation to a shorter format may be from it. The bound follows from the operations alone: no constant in it is
 * fitted to any backend. It is what "equal up to rounding" means for one rule on one sequence of gradients: small where
 * the rule is well conditioned, large where it cancels (a parameter crossing zero, AdaBelief's g − m when g hardly
 * changes), whatever the hyperparameters.
 *
 * Assumed of a backend: + − × ÷ √ within one unit roundoff u of the exact result, elementary functions within 4u,
 * results below the normal range within half the smallest subnormal, sums of n terms in any order (n·u). Where a value
 * may overflow the format, nothing is known of it and of what depends on it: the bound is infinite.
 */
export interface Approximation {
  readonly value: Float64Array;
  /** Bound on |computed − value|, element by element. */
  readonly error: Float64Array;
}

/** A format: its unit roundoff, half its smallest subnormal and its largest number. */
export interface Rounding {
  readonly unit: number;
  readonly underflow: number;
  readonly largest: number;
}
export const float32Rounding: Rounding = { unit: 2 ** -24, underflow: 2 ** -150, largest: (2 - 2 ** -23) * 2 ** 127 };
export const float64Rounding: Rounding = { unit: 2 ** -53, underflow: 2 ** -1074, largest: Number.MAX_VALUE };

/** An exactly known tensor. */
export function exact(values: ArrayLike<number>): Approximation {
  return { value: Float64Array.from(values), error: new Float64Array(values.length) };
}

/**
 * One update with error bounds.
 *
 * @param slots in the order of `program.slots`
 * @param scalars float64 values from `Optimizer.scalars`; the device rounds them where they meet tensors
 */
export function boundUpdate(
  program: Program,
  inputs: { readonly param: Approximation; readonly grad: Approximation; readonly slots: readonly Approximation[] },
  scalars: Float64Array,
  rounding: Rounding,
): { param: Approximation; slots: Approximation[] } {
  const length = inputs.param.value.length;
  const slotIndex = new Map(program.slots.map((slot, i) => [`slot.${slot.name}`, i]));
  const results: Approximation[] = [];

  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.kind === 'scalar') {
      const value = scalars[index];
      const rounded = Object.is(value, Math.fround(value)) ? 0 : roundedError(value, 0, 1, rounding);
      results.push({ value: Float64Array.of(value), error: Float64Array.of(rounded) });
    } else if (instruction.op === 'input') {
      const slot = slotIndex.get(instruction.name);
      results.push(slot === undefined ? inputs[instruction.name as 'param' | 'grad'] : inputs.slots[slot]);
    } else if (isReduction(instruction.op)) {
      results.push(boundReduction(instruction.op, results[instruction.args[0]], rounding));
    } else {
      const size = instruction.kind === 'tensor' ? length : 1;
      results.push(
        boundOperation(
          instruction.op,
          instruction.args.map((arg) => results[arg]),
          size,
          rounding,
        ),
      );
    }
  }
  const output = (index: number): Approximation => {
    const { value, error } = results[index];
    if (program.instructions[index].kind === 'tensor') return { value, error };
    return { value: new Float64Array(length).fill(value[0]), error: new Float64Array(length).fill(error[0]) };
  };
  return { param: output(program.outputs.param), slots: program.outputs.slots.map(output) };
}

/** Value and error bound of one operand element. */
interface Bounded {
  readonly x: number;
  readonly e: number;
}

const { max, abs, sqrt } = Math;

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
function decided(z: number, error: number, operands: readonly Bounded[]): number {
  if (!Number.isNaN(z) && !Number.isNaN(error)) return error;
  return operands.every(({ e }) => e === 0) ? 0 : Infinity;
}

function boundOperation(
  op: OperationName,
  operands: readonly Approximation[],
  length: number,
  rounding: Rounding,
): Approximation {
  const value = new Float64Array(length);
  const error = new Float64Array(length);
  const { evaluate } = operation(op);
  const rounded = roundings[op] ?? 0;
  const element = (operand: Approximation, i: number): Bounded => {
    const at = operand.value.length === 1 ? 0 : i;
    return { x: operand.value[at], e: operand.error[at] };
  };
  for (let i = 0; i < length; i++) {
    const elements = operands.map((operand) => element(operand, i));
    const [a, b = absent, c = absent] = elements;
    const z = evaluate(a.x, b.x, c.x);
    const propagated = decided(z, propagate[op](z, a, b, c), elements);
    value[i] = z;
    // Zero from exact operands is exact: products of nonzero float32 numbers do not vanish in float64.
    const inexact = rounded > 0 && (abs(z) > 0 || propagated > 0);
    error[i] = inexact ? roundedError(z, propagated, rounded, rounding) : propagated;
  }
  return { value, error };
}

/** In the place of operands that an operation does not have. */
const absent: Bounded = { x: NaN, e: 0 };

function boundReduction(
  op: 'sum' | 'mean' | 'norm',
  operand: Approximation,
  { unit, underflow, largest }: Rounding,
): Approximation {
  const n = operand.value.length;
  const term = (x: number): number => (op === 'norm' ? x * x : x);
  let total = 0;
  let magnitude = 0;
  let propagated = 0;
  operand.value.forEach((x, i) => {
    const e = operand.error[i];
    total += term(x);
    magnitude += abs(term(x));
    propagated += op === 'norm' ? (2 * abs(x) + e) * e : e;
  });
  const inexact = magnitude > 0 || propagated > 0;
  const rounded = inexact ? (n + 1) * unit * (magnitude + propagated) + n * underflow : 0;
  const sum: Bounded = { x: total, e: propagated + rounded };
  const z = op === 'mean' ? total / n : op === 'norm' ? sqrt(total) : total;
  const moved = op === 'mean' ? sum.e / n : op === 'norm' ? propagate.sqrt(z, sum, sum, sum) : sum.e;
  const error = magnitude + sum.e > largest ? Infinity : moved + unit * (abs(z) + moved);
  const elements = Array.from(operand.value, (x, i) => ({ x, e: operand.error[i] }));
  return { value: Float64Array.of(z), error: Float64Array.of(decided(z, error, elements)) };
}
