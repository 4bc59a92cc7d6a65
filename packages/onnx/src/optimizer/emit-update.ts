import { isReduction, type OperationName, type Program, type ReductionName } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** The values of a program's scalar instructions, float64 of rank 0, by instruction index. */
export type ScalarValues = ReadonlyMap<number, Value>;

/** How each operation of the rule language is written in ONNX. */
const operations: Record<OperationName, (e: Emitter, a: Value, b: Value, c: Value) => Value> = {
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

const reductions: Record<ReductionName, (e: Emitter, x: Value) => Value> = {
  sum: (e, x) => e.reduceSum(x),
  mean: (e, x) => e.node('ReduceMean', [x], { keepdims: 0 }),
  norm: (e, x) => e.sqrt(e.reduceSum(e.square(x))),
};

/**
 * Emits the scalar part of a program in float64, so that bias corrections and the like are as exact inside a graph as
 * on the host. Parameters that share a program and hyperparameters share it.
 *
 * @param input gives the float64 rank-0 value of a scalar input such as `step` or `hyper.lr`
 */
export function emitScalars(e: Emitter, program: Program, input: (name: string) => Value): ScalarValues {
  const values = new Map<number, Value>();
  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.kind !== 'scalar') continue;
    if (instruction.op === 'constant') values.set(index, e.scalar(instruction.value, 'float64'));
    else if (instruction.op === 'input') values.set(index, input(instruction.name));
    else if (!isReduction(instruction.op)) {
      const [a, b, c] = instruction.args.map((arg) => require(values, arg));
      values.set(index, operations[instruction.op](e, a, b, c));
    }
  }
  return values;
}

/**
 * Emits one update of one parameter.
 *
 * @param tensors the parameter, its gradient and its slots in the order of `program.slots`: one shape, one dtype
 * @param scalars from {@link emitScalars}; cast to the parameter's dtype where they meet tensors
 * @returns the new parameter and slots
 */
export function emitUpdate(
  e: Emitter,
  program: Program,
  tensors: { readonly param: Value; readonly grad: Value; readonly slots: readonly Value[] },
  scalars: ScalarValues,
): { param: Value; slots: Value[] } {
  const { param, grad, slots } = tensors;
  const inputs = new Map<string, Value>([
    ['param', param],
    ['grad', grad],
  ]);
  program.slots.forEach((slot, i) => inputs.set(`slot.${slot.name}`, slots[i]));
  const values = new Map<number, Value>();
  const operand = (index: number): Value => {
    const scalar = scalars.get(index);
    if (scalar === undefined) return require(values, index);
    // Conditions stay what they are; numbers are rounded once, to the tensors' precision.
    return scalar.dtype === 'float64' ? e.cast(scalar, param.dtype ?? 'float32') : scalar;
  };
  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.kind === 'scalar') continue;
    if (instruction.op === 'input') {
      values.set(index, require(inputs, instruction.name));
    } else if (isReduction(instruction.op)) {
      values.set(index, reductions[instruction.op](e, operand(instruction.args[0])));
    } else {
      const [a, b, c] = instruction.args.map(operand);
      values.set(index, operations[instruction.op](e, a, b, c));
    }
  }
  const output = (index: number): Value => e.expandLike(operand(index), param);
  return { param: output(program.outputs.param), slots: program.outputs.slots.map(output) };
}

/** Programs list instructions before their uses and backends get every slot; anything else is a defect. */
function require<K>(values: ReadonlyMap<K, Value>, key: K): Value {
  const value = values.get(key);
  if (value === undefined) throw new Error(`program value ${String(key)} is used before it is defined`);
  return value;
}
