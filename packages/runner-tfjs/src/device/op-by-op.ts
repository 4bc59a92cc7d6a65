import {
  concreteShape,
  elementCount,
  foldProgram,
  isTotal,
  neededWith,
  sameShape,
  type Algebra,
  type Binding,
  type OperationName,
  type Program,
  type ReductionName,
  type Shape,
} from '@adakit/core';
import {
  abs,
  add,
  any,
  broadcastTo,
  clone,
  div,
  equal,
  exp,
  fill,
  greater,
  greaterEqual,
  isInf,
  isNaN as isNaNTensor,
  less,
  lessEqual,
  log,
  logicalAnd,
  logicalOr,
  matMul,
  max,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  range,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  tensor,
  transpose,
  where,
  zeros,
  type Tensor,
  type Tensor2D,
} from '@tensorflow/tfjs-core';
import type { Cell } from './cell.js';

/** A value of a program: on the device, or a number that the host knows. */
type Value = Tensor | number;

type DeviceOperation = Exclude<OperationName, 'floor' | 'mod'>;

/** The operations of the rule language in TensorFlow.js; operands broadcast, comparisons give booleans. */
const tensorOperations: Record<DeviceOperation, (...operands: Tensor[]) => Tensor> = {
  add,
  sub,
  mul,
  div,
  pow,
  min: minimum,
  max: maximum,
  neg,
  abs,
  // tf.sign makes 0 of NaN, and on wasm of anything below 1e-7.
  sign: (a) => where(greater(a, 0), 1, where(less(a, 0), -1, a)),
  square,
  sqrt,
  exp,
  log,
  equal,
  less,
  lessOrEqual: lessEqual,
  greater,
  greaterOrEqual: greaterEqual,
  where,
};

/** Over all elements, or along an axis, which then has extent 1. */
const tensorReductions: Record<ReductionName, (x: Tensor, axis: number | undefined) => Tensor> = {
  sum: (x, axis) => sum(x, axis, axis !== undefined),
  // tf.mean divides every element before it sums, which rounds more often.
  mean: (x, axis) => div(sum(x, axis, axis !== undefined), axis === undefined ? x.size : x.shape[axis]),
  norm: (x, axis) => sqrt(sum(square(x), axis, axis !== undefined)),
  // Whether tf.max knows NaN differs from backend to backend.
  largest: (x, axis) => where(any(isNaNTensor(x), axis, axis !== undefined), NaN, max(x, axis, axis !== undefined)),
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
    return sameShape(made.shape, wanted) ? made : broadcastTo(made, wanted);
  };

  const algebra: Algebra<Value> = {
    constant: (_, __, index) => scalars[index],
    input: ({ name, type }, _, index) =>
      type.place === 'host' ? scalars[index] : buffers[name].tensor(dims(type.shape)),
    elementwise({ op, type }, args, index) {
      if (type.place === 'host') return scalars[index];
      const [first, second, third] = args;
      if (op === 'where' && typeof first === 'number') return filled(first !== 0 ? second : third, type.shape);
      if (op === 'min' || op === 'max') return extremum(tensorOperations[op], first, second, onDevice);
      if (op === 'pow' && !Number.isFinite(second)) return strictPower(onDevice(first), onDevice(second));
      return tensorOperations[op as DeviceOperation](...args.map(onDevice));
    },
    reduce({ op, over, type }, [x]) {
      const operand = onDevice(x);
      if (operand.size === 0) return fill(dims(type.shape), ofNothing[op]);
      return tensorReductions[op](operand, over === 'all' ? undefined : over === 'rows' ? 0 : 1);
    },
    matMul({ type }, [a, b]) {
      const [left, right] = [onDevice(a) as Tensor2D, onDevice(b) as Tensor2D];
      return left.size === 0 ? zeros(dims(type.shape)) : matMul(left, right);
    },
    transpose: (_, [x]) => transpose(onDevice(x)),
    // Column after column, rotation after rotation: a GPU would wait for the next command most of the time.
    factor({ type, compute }, [x]) {
      const [rows, cols] = dims(type.shape);
      return tensor(Float32Array.from(compute(onDevice(x).dataSync<'float32'>(), rows, cols)), [rows, cols]);
    },
    view: ({ type }, [x]) => reshape(onDevice(x), dims(type.shape)),
    broadcast: ({ type }, [x]) => filled(x, type.shape),
    cast: ({ to }, [x]) => to.rounded(tensorOperations, onDevice(x), scalarTensor),
    random({ distribution, stream, draw, type }, [seed, key, step]) {
      const numbers = new Float32Array(elementCount(dims(type.shape)));
      draw(distribution, { seed: Number(seed), key: Number(key), step: Number(step), stream }, numbers);
      return tensor(numbers, dims(type.shape));
    },
    index: ({ type }) => reshape(range(0, elementCount(dims(type.shape))), dims(type.shape)),
  };

  const needed = neededWith(program, scalars);
  const values = foldProgram(program, algebra, ({ type }, index) => {
    if (!needed.has(index)) return NaN;
    // Backends disagree about values without elements, of which there is nothing to compute.
    return type.place === 'device' && elementCount(dims(type.shape)) === 0 ? zeros(dims(type.shape)) : undefined;
  });
  // All outputs are computed before the first is written: buffers are inputs and outputs at once.
  const results = Object.entries(program.outputs).map(([name, index]): [Cell, Tensor] => {
    const cell = buffers[name];
    const of = program.instructions[index].type.shape;
    const value = filled(values[index], of);
    const result = isTotal(name) ? combined(name, cell.tensor([]), value) : value;
    // A tensor of its own (without a copy of its data), as it may be an input, or the value of two outputs.
    return [cell, mask === undefined ? clone(result) : where(mask, result, cell.tensor(dims(of)))];
  });
  for (const [cell, result] of results) cell.set(result);
}

function combined(output: string, total: Tensor, value: Tensor): Tensor {
  return output.startsWith('sum.') ? add(total, value) : keepNaN(total, maximum(value, total));
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
  const power = pow(base, exponent);
  const unclear = logicalOr(isNaNTensor(exponent), logicalAnd(isInf(exponent), equal(abs(base), 1)));
  return where(unclear, NaN, power);
}

/** `result`, but NaN where `x` is NaN. */
function keepNaN(x: Tensor, result: Tensor): Tensor {
  return where(isNaNTensor(x), x, result);
}
