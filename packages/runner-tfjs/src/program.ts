import { isReduction, type OperationName, type Program, type ReductionName } from '@adakit/core';
import {
  abs,
  add,
  broadcastTo,
  div,
  equal,
  exp,
  greater,
  greaterEqual,
  isNaN as isNaNTensor,
  less,
  lessEqual,
  log,
  maximum,
  mean,
  minimum,
  mul,
  neg,
  pow,
  sqrt,
  square,
  sub,
  sum,
  where,
  type Tensor,
} from '@tensorflow/tfjs-core';

/** One variable with its gradient and slots (in the order of `program.slots`). */
export interface UpdateTensors {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly slots: readonly Tensor[];
}

/** The operations of the rule language in TensorFlow.js; operands broadcast, comparisons give booleans. */
const tensorOperations: Record<OperationName, (...operands: Tensor[]) => Tensor> = {
  add: (a, b) => add(a, b),
  sub: (a, b) => sub(a, b),
  mul: (a, b) => mul(a, b),
  div: (a, b) => div(a, b),
  pow: (a, b) => pow(a, b),
  min: (a, b) => minimum(a, b),
  max: (a, b) => maximum(a, b),
  neg: (a) => neg(a),
  abs: (a) => abs(a),
  // tf.sign makes 0 of NaN, and on wasm of anything below 1e-7.
  sign: (a) => where(greater(a, 0), 1, where(less(a, 0), -1, a)),
  square: (a) => square(a),
  sqrt: (a) => sqrt(a),
  exp: (a) => exp(a),
  log: (a) => log(a),
  equal: (a, b) => equal(a, b),
  less: (a, b) => less(a, b),
  lessOrEqual: (a, b) => lessEqual(a, b),
  greater: (a, b) => greater(a, b),
  greaterOrEqual: (a, b) => greaterEqual(a, b),
  where: (condition, yes, no) => where(condition, yes, no),
};

const tensorReductions: Record<ReductionName, (x: Tensor) => Tensor> = {
  sum: (x) => sum(x),
  mean: (x) => mean(x),
  norm: (x) => sqrt(sum(square(x))),
};

/**
 * Runs one update with TensorFlow.js operations on the current backend. Call it inside `tf.tidy`, which frees the
 * intermediates.
 *
 * @param scalars float64 values from `Optimizer.scalars`
 * @param scalarTensor gives the rank-0 tensor of a scalar that meets a tensor
 * @returns the new parameter and slots, each a tensor of its own in the parameter's shape
 */
export function runProgram(
  program: Program,
  inputs: UpdateTensors,
  scalars: Float64Array,
  scalarTensor: (value: number) => Tensor,
): { param: Tensor; slots: Tensor[] } {
  const { instructions, outputs, slots } = program;
  const named = new Map([
    ['param', inputs.param],
    ['grad', inputs.grad],
    ...slots.map((slot, i) => [`slot.${slot.name}`, inputs.slots[i]] as const),
  ]);
  const values: Tensor[] = [];
  const isScalar = (index: number): boolean => instructions[index].kind === 'scalar';
  const operand = (index: number): Tensor => (isScalar(index) ? scalarTensor(scalars[index]) : values[index]);

  for (const [index, instruction] of instructions.entries()) {
    if (instruction.kind === 'scalar') continue;
    if (instruction.op === 'input') {
      values[index] = named.get(instruction.name) as Tensor;
    } else if (isReduction(instruction.op)) {
      values[index] = tensorReductions[instruction.op](values[instruction.args[0]]);
    } else if (instruction.op === 'where' && isScalar(instruction.args[0])) {
      const [condition, yes, no] = instruction.args;
      values[index] = operand(scalars[condition] !== 0 ? yes : no);
    } else if (instruction.op === 'min' || instruction.op === 'max') {
      // Some backends (wasm) lose a NaN in the second operand. Scalars are no NaN, so they go second.
      const [a, b] = isScalar(instruction.args[0]) ? instruction.args.toReversed() : instruction.args;
      const extremum = tensorOperations[instruction.op](operand(a), operand(b));
      values[index] = isScalar(b) ? extremum : keepNaN(operand(b), extremum);
    } else {
      values[index] = tensorOperations[instruction.op](...instruction.args.map(operand));
    }
  }
  // Also copies (without copying data) what is an input or serves two outputs, so that each can be disposed by itself.
  const output = (index: number): Tensor => broadcastTo(operand(index), inputs.param.shape);
  return { param: output(outputs.param), slots: outputs.slots.map(output) };
}

/** `result`, but NaN where `x` is NaN. */
function keepNaN(x: Tensor, result: Tensor): Tensor {
  return where(isNaNTensor(x), x, result);
}
