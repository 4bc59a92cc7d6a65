import {
  concreteShape,
  elementCount,
  foldProgram,
  isTotal,
  neededWith,
  sameShape,
  type Algebra,
  type Binding,
  type DeviceOperationName,
  type Program,
  type ReductionName,
  type Shape,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { Cell } from './cell.js';

/** A value of a program: on the device, or a number that the host knows. */
type Value = Tensor | number;

/** The operations of the rule language in TensorFlow.js; operands broadcast, comparisons give booleans. */
const tensorOperations: Record<DeviceOperationName, (...operands: Tensor[]) => Tensor> = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: tf.div,
  pow: tf.pow,
  min: tf.minimum,
  max: tf.maximum,
  neg: tf.neg,
  abs: tf.abs,
  // tf.sign makes 0 of NaN, and on wasm of anything below 1e-7.
  sign: (a) => tf.where(tf.greater(a, 0), 1, tf.where(tf.less(a, 0), -1, a)),
  square: tf.square,
  sqrt: tf.sqrt,
  exp: tf.exp,
  log: tf.log,
  equal: tf.equal,
  less: tf.less,
  lessOrEqual: tf.lessEqual,
  greater: tf.greater,
  greaterOrEqual: tf.greaterEqual,
  where: tf.where,
};

/** Over all elements, or along an axis, which then is kept with extent 1. */
const tensorReductions: Record<ReductionName, (x: Tensor, axis: number | undefined, keep: boolean) => Tensor> = {
  sum: tf.sum,
  // tf.mean divides every element before it sums, which rounds more often.
  mean: (x, axis, keep) => tf.div(tf.sum(x, axis, keep), axis === undefined ? x.size : x.shape[axis]),
  norm: (x, axis, keep) => tf.sqrt(tf.sum(tf.square(x), axis, keep)),
  // Whether tf.max knows NaN differs from backend to backend.
  largest: (x, axis, keep) => tf.where(tf.any(tf.isNaN(x), axis, keep), NaN, tf.max(x, axis, keep)),
};

/** What reductions give for no elements, about which backends disagree. */
const ofNothing: Record<ReductionName, number> = { sum: 0, mean: NaN, norm: 0, largest: -Infinity };

/** What a program needs of the device beside its buffers. */
export interface OpByOpContext {
  /** The rank-0 tensor of a number that meets a tensor. */
  readonly scalarTensor: (value: number) => Tensor;
  /** Whether results count, as a rank-0 boolean. Default: they do. */
  readonly mask?: Tensor | undefined;
}

/**
 * Runs a program for one parameter with TensorFlow.js operations on the current backend, and writes its outputs into their
 * buffers. Call it inside `tf.tidy`, which frees the intermediates.
 *
 * @param scalars from `evaluateScalars`
 */
export function runOpByOp(
  program: Program,
  { buffers, shape, extents }: Binding<Cell>,
  scalars: Float64Array,
  { scalarTensor, mask }: OpByOpContext,
): void {
  const dims = (of: Shape): number[] => [...concreteShape(of, shape, extents)];
  const onDevice = (value: Value): Tensor => (typeof value === 'number' ? scalarTensor(value) : value);
  /** `value` with every element of `of` spelled out. */
  const filled = (value: Value, of: Shape): Tensor => {
    const [made, wanted] = [onDevice(value), dims(of)];
    return sameShape(made.shape, wanted) ? made : tf.broadcastTo(made, wanted);
  };

  const algebra: Algebra<Value> = {
    constant: (_, __, index) => scalars[index],
    input: ({ name, type }) => buffers[name].tensor(dims(type.shape)),
    elementwise({ op, type }, args) {
      const [first, second, third] = args;
      if (op === 'where' && typeof first === 'number') return filled(first !== 0 ? second : third, type.shape);
      if (op === 'min' || op === 'max') return extremum(tensorOperations[op], first, second, onDevice);
      if (op === 'pow' && !Number.isFinite(second)) return strictPower(onDevice(first), onDevice(second));
      return tensorOperations[op as DeviceOperationName](...args.map(onDevice));
    },
    reduce({ op, over, type }, [x]) {
      const operand = onDevice(x);
      if (operand.size === 0) return tf.fill(dims(type.shape), ofNothing[op]);
      return tensorReductions[op](operand, over === 'all' ? undefined : over === 'rows' ? 0 : 1, over !== 'all');
    },
    matMul({ type }, [a, b]) {
      const [left, right] = [onDevice(a) as Tensor2D, onDevice(b) as Tensor2D];
      return left.size === 0 ? tf.zeros(dims(type.shape)) : tf.matMul(left, right);
    },
    transpose: (_, [x]) => tf.transpose(onDevice(x)),
    // Column after column, rotation after rotation: a GPU would wait for the next command most of the time.
    factor({ type, compute }, [x]) {
      const [rows, cols] = dims(type.shape);
      return tf.tensor(Float32Array.from(compute(onDevice(x).dataSync<'float32'>(), rows, cols)), [rows, cols]);
    },
    view: ({ type }, [x]) => tf.reshape(onDevice(x), dims(type.shape)),
    broadcast: ({ type }, [x]) => filled(x, type.shape),
    cast: ({ to }, [x]) => to.rounded(tensorOperations, onDevice(x), scalarTensor),
    random({ distribution, stream, draw, type }, [seed, key, step]) {
      const numbers = new Float32Array(elementCount(dims(type.shape)));
      draw(distribution, { seed: Number(seed), key: Number(key), step: Number(step), stream }, numbers);
      return tf.tensor(numbers, dims(type.shape));
    },
    index: ({ type }) => tf.reshape(tf.range(0, elementCount(dims(type.shape))), dims(type.shape)),
  };

  const needed = neededWith(program, scalars);
  const values = foldProgram(program, algebra, ({ type }, index) => {
    if (type.place === 'host') return scalars[index];
    if (!needed.has(index)) return NaN;
    // Backends disagree about values without elements, of which there is nothing to compute.
    return elementCount(dims(type.shape)) === 0 ? tf.zeros(dims(type.shape)) : undefined;
  });
  // All outputs are computed before the first is written: buffers are inputs and outputs at once.
  const results = Object.entries(program.outputs).map(([name, index]): [Cell, Tensor] => {
    const cell = buffers[name];
    const of = program.instructions[index].type.shape;
    const value = filled(values[index], of);
    const result = isTotal(name) ? combined(name, cell.tensor([]), value) : value;
    // A tensor of its own (without a copy of its data), as it may be an input, or the value of two outputs.
    return [cell, mask === undefined ? tf.clone(result) : tf.where(mask, result, cell.tensor(dims(of)))];
  });
  for (const [cell, result] of results) cell.set(result);
}

function combined(output: string, total: Tensor, value: Tensor): Tensor {
  return output.startsWith('sum.') ? tf.add(total, value) : keepNaN(total, tf.maximum(value, total));
}

/** Some backends (wasm) lose a NaN in the second operand. Scalars are no NaN, so they go second. */
function extremum(
  operation: (a: Tensor, b: Tensor) => Tensor,
  first: Value,
  second: Value,
  onDevice: (value: Value) => Tensor,
): Tensor {
  const [a, b] = typeof first === 'number' ? [second, first] : [first, second];
  const result = operation(onDevice(a), onDevice(b));
  return typeof b === 'number' ? result : keepNaN(b, result);
}

/** JavaScript has NaN for 1 to the power NaN and ±1 to the power ±∞, where C, and so most backends, have 1. */
function strictPower(base: Tensor, exponent: Tensor): Tensor {
  const power = tf.pow(base, exponent);
  const unclear = tf.logicalOr(tf.isNaN(exponent), tf.logicalAnd(tf.isInf(exponent), tf.equal(tf.abs(base), 1)));
  return tf.where(unclear, NaN, power);
}

/** `result`, but NaN where `x` is NaN. */
function keepNaN(x: Tensor, result: Tensor): Tensor {
  return tf.where(tf.isNaN(x), x, result);
}
