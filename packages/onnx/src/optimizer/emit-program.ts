import {
  concreteShape,
  elementCount,
  foldProgram,
  needsOf,
  type Extents,
  type InstructionOf,
  type DeviceOperationName,
  type Precision,
  type Program,
  type ReductionName,
  type Shape,
} from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { Tensor } from '../model/tensor.js';
import { emitFactor } from './emit-factor.js';

/** What a program reads where it is emitted, and for a parameter of which shape. */
export interface ProgramPlace {
  /** Element type of all numbers. */
  readonly precision: Precision;
  readonly shape: readonly number[];
  readonly extents: Extents;
  /** The value of a device input such as `grad` or `slot.expAvg`. */
  input(name: string): Value;
  /** The value of a scalar instruction, of rank 0; a condition is `bool`. */
  scalar(index: number): Value;
  /** Random numbers of the parameter's shape, which the host draws. */
  random(instruction: InstructionOf<'random'>): Value;
}

/** How each elementwise operation of the rule language is written in ONNX. `floor` and `mod` are for scalars alone. */
export const operations: Record<DeviceOperationName, (e: Emitter, a: Value, b: Value, c: Value) => Value> = {
  add: (e, a, b) => e.add(a, b),
  sub: (e, a, b) => e.sub(a, b),
  mul: (e, a, b) => e.mul(a, b),
  div: (e, a, b) => e.div(a, b),
  pow: (e, a, b) => e.pow(a, b),
  min: (e, a, b) => e.node('Min', [a, b]),
  max: (e, a, b) => e.node('Max', [a, b]),
  neg: (e, a) => e.neg(a),
  abs: (e, a) => e.node('Abs', [a]),
  sign: (e, a) => e.node('Sign', [a]),
  square: (e, a) => e.square(a),
  sqrt: (e, a) => e.sqrt(a),
  exp: (e, a) => e.exp(a),
  log: (e, a) => e.log(a),
  equal: (e, a, b) => e.equal(a, b),
  less: (e, a, b) => e.less(a, b),
  lessOrEqual: (e, a, b) => e.node('LessOrEqual', [a, b]),
  greater: (e, a, b) => e.greater(a, b),
  greaterOrEqual: (e, a, b) => e.greaterOrEqual(a, b),
  where: (e, condition, a, b) => e.where(condition, a, b),
};

/** Reductions along `axes`, which stay as extents of 1; over everything without axes. */
const reductions: Record<ReductionName, (e: Emitter, x: Value, axes: readonly number[] | undefined) => Value> = {
  sum: (e, x, axes) => reduced(e, 'ReduceSum', x, axes),
  mean: (e, x, axes) => reduced(e, 'ReduceMean', x, axes),
  norm: (e, x, axes) => e.sqrt(reduced(e, 'ReduceSum', e.square(x), axes)),
  largest: (e, x, axes) => reduced(e, 'ReduceMax', x, axes),
};

/** What reductions make of no elements. */
const ofNothing: Record<ReductionName, number> = { sum: 0, mean: NaN, norm: 0, largest: -Infinity };

function reduced(e: Emitter, op: string, x: Value, axes: readonly number[] | undefined): Value {
  return e.node(op, axes === undefined ? [x] : [x, e.int64(axes)], { keepdims: axes === undefined ? 0 : 1 });
}

/**
 * Emits a program for one parameter: a node for every instruction, in the order written, so that every operation is
 * rounded where the reference rounds it. Scalars are computed by the host: see {@link fedScalars}.
 *
 * @returns the outputs by name, each of its own shape
 */
export function emitProgram(e: Emitter, program: Program, place: ProgramPlace): Record<string, Value> {
  const { precision, shape: param, extents } = place;
  const dims = (shape: Shape): readonly number[] => concreteShape(shape, param, extents);
  /** Scalars become values only where something reads them. */
  type Operand = () => Value;
  const host = (index: number): Operand => {
    return () => place.scalar(index);
  };
  const made = (value: Value): Operand => {
    return () => value;
  };

  const needs = needsOf(program);
  const values = foldProgram<Operand>(program, {
    constant: (_, __, index) => host(index),
    input: ({ name, type }, _, index) => (type.place === 'host' ? host(index) : made(place.input(name))),
    elementwise({ op, type, args: operands }, args, index) {
      if (type.place === 'host') return host(index);
      if (op === 'floor' || op === 'mod') throw new Error(`${op} is for scalars`);
      const [a, b, c] = args.map((arg) => arg());
      const value = operations[op](e, a, b, c);
      if (op !== 'pow' || program.instructions[operands[1]].type.place === 'host') return made(value);
      return made(powerOfOne(e, a, b, value));
    },
    reduce({ op, over, type }, [x]) {
      const value = x();
      // Runtimes differ in what they make of no elements.
      if (value.shape?.includes(0) === true) return made(filled(e, dims(type.shape), ofNothing[op], precision));
      return made(reductions[op](e, value, over === 'all' ? undefined : over === 'rows' ? [0] : [1]));
    },
    matMul: (_, [a, b]) => made(e.matMul(a(), b())),
    transpose: (_, [x]) => made(e.transpose(x(), [1, 0])),
    factor({ op, type }, [x], index) {
      const size = dims(type.shape);
      if (size.includes(0)) return made(filled(e, size, 0, precision));
      const need = needs[index];
      const condition = need && place.scalar(need.condition);
      const needed = need?.is === false && condition ? e.not(condition) : condition;
      return made(emitFactor(e, op, x(), { precision, dims: size, needed }));
    },
    view: ({ type }, [x]) => made(reshaped(e, x(), dims(type.shape))),
    broadcast: ({ type }, [x]) => made(expanded(e, x(), dims(type.shape))),
    // float64 goes by way of float32, as the reference does: narrow formats are what devices have.
    cast: ({ to }, [x]) => made(e.cast(e.cast(e.cast(x(), 'float32'), to.name), precision)),
    random: (instruction) => made(place.random(instruction)),
    index({ type }) {
      const count = elementCount(dims(type.shape));
      const range = e.node('Range', [e.scalar(0, precision), e.scalar(count, precision), e.scalar(1, precision)]);
      return made(reshaped(e, e.assume(range, [count]), dims(type.shape)));
    },
  });

  return Object.fromEntries(
    Object.entries(program.outputs).map(([name, index]) => [
      name,
      expanded(e, values[index](), dims(program.instructions[index].type.shape)),
    ]),
  );
}

function reshaped(e: Emitter, x: Value, dims: readonly number[]): Value {
  if (hasDims(x, dims)) return x;
  return e.node('Reshape', [x, e.int64(dims)], { allowzero: dims.includes(0) ? 1 : undefined });
}

function expanded(e: Emitter, x: Value, dims: readonly number[]): Value {
  if (hasDims(x, dims)) return x;
  // ONNX Runtime does not expand an extent of 1 to one of 0.
  if (dims.includes(0)) return filled(e, dims, 0, x.dtype ?? 'float32');
  return e.assume(e.node('Expand', [x, e.int64(dims)]), dims);
}

function filled(e: Emitter, dims: readonly number[], value: number, dtype: DType): Value {
  return e.constant(Tensor.filled(dtype, dims, value));
}

/** ±1 to a power that is no number or infinite is NaN; runtimes in C have 1 instead. */
function powerOfOne(e: Emitter, base: Value, exponent: Value, power: Value): Value {
  const difference = e.sub(exponent, exponent);
  const isFinite = e.equal(difference, e.scalar(0, difference));
  const isOne = e.equal(e.node('Abs', [base]), e.scalar(1, base));
  return e.where(e.and(isOne, e.not(isFinite)), e.scalar(NaN, power), power);
}

function hasDims({ shape }: Value, dims: readonly number[]): boolean {
  return shape?.length === dims.length && dims.every((size, i) => shape[i] === size);
}

/**
 * The scalar instructions that a device has to be given, in the order of the vector that {@link scalarReader} reads: what
 * device instructions and outputs read, but for constants, which the graph holds, and what random numbers are drawn from.
 */
export function fedScalars(program: Program): readonly number[] {
  const { instructions, outputs } = program;
  const fed = new Set<number>();
  const feed = (index: number): void => {
    const { form, type } = instructions[index];
    if (type.place === 'host' && form !== 'constant') fed.add(index);
  };
  for (const instruction of instructions) {
    if (instruction.type.place === 'host' || instruction.form === 'random' || !('args' in instruction)) continue;
    instruction.args.forEach(feed);
  }
  Object.values(outputs).forEach(feed);
  return [...fed].sort((a, b) => a - b);
}

/** Whether every element of what a program gives depends on the same element of what it reads, and on numbers alone. */
export function isElementwise({ instructions, outputs }: Program): boolean {
  const forms: ReadonlySet<string> = new Set(['constant', 'input', 'elementwise', 'cast']);
  const each = ({ form, type }: Program['instructions'][number]): boolean =>
    type.place === 'host' ||
    (forms.has(form) && (type.shape === 'param' || (form === 'input' && type.shape === 'number')));
  return (
    instructions.every(each) && Object.values(outputs).every((index) => instructions[index].type.shape === 'param')
  );
}

/** Scalar inputs that differ between parameters with the same number of updates. */
const OWN: ReadonlySet<string> = new Set(['key', 'rows', 'cols', 'size']);

/** Whether parameters with the same number of updates may have to be fed different scalars. */
export function scalarsDiffer(program: Program): boolean {
  const { instructions } = program;
  const pending = [...fedScalars(program)];
  const seen = new Set(pending);
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    const instruction = instructions[index];
    if (instruction.form === 'input' && OWN.has(instruction.name)) return true;
    if (!('args' in instruction)) continue;
    for (const arg of instruction.args) {
      if (!seen.has(arg)) pending.push(arg);
      seen.add(arg);
    }
  }
  return false;
}

/**
 * Reads a program's scalars from a vector that the host feeds. It holds those of {@link fedScalars} in the graph's
 * precision; the outcomes of comparisons are 0 and 1. No float64 node gets into a float32 graph this way.
 *
 * @param vector undefined when there are none to feed
 */
export function scalarReader(
  e: Emitter,
  program: Program,
  vector: Value | undefined,
  precision: Precision,
): (index: number) => Value {
  const fed = fedScalars(program);
  return (index) => {
    const { type, ...instruction } = program.instructions[index];
    let value: Value;
    if (instruction.form === 'constant') {
      value = e.scalar(instruction.value, precision);
    } else {
      const position = fed.indexOf(index);
      if (position < 0 || vector === undefined) throw new Error(`scalar ${index} of ${program.name} is not fed`);
      value = e.gather(vector, e.scalar(position, 'int64'));
    }
    return type.dtype === 'bool' ? e.cast(value, 'bool') : value;
  };
}
