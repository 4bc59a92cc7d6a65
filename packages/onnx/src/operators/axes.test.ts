import { float32, randomNumbers, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import { attribute, type AttributeValue } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { SCHEMAS } from '../inference/schemas.js';
import { isDifferentiable, type DType } from '../model/dtype.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { importGraph } from '../passes/import.js';
import { operators } from './index.js';

/** An operator with the axes it is told, of an input of shape [2, 3, 4] unless said. */
interface Example {
  readonly op: string;
  readonly opset: number;
  readonly dims: readonly number[];
  /** A constant instead of the input. */
  readonly constant?: Tensor;
  /** Counted from the front. */
  readonly axes: readonly number[];
  /** Of what the axes are: by default the input. */
  readonly rank: number;
  /** Inputs after the first. */
  readonly more: (axes: readonly number[]) => readonly Tensor[];
  readonly attributes: (axes: readonly number[]) => Readonly<Record<string, AttributeValue>>;
  readonly outputs: readonly DType[];
}

const int64s = (dims: readonly number[], ...data: number[]) =>
  Tensor.of('int64', dims, BigInt64Array.from(data, BigInt));
const ints = (...data: number[]) => Tensor.int64(data);
const floats = (dims: readonly number[], seed: number) =>
  Tensor.of('float32', dims, Float32Array.from(randomNumbers(sizeOf(dims), seed)));
const bytes = (data: readonly number[]) => Tensor.of('uint8', [data.length], Uint8Array.from(data));
const sizeOf = (dims: readonly number[]) => dims.reduce((product, dim) => product * dim, 1);

function example(op: string, given: Partial<Example> = {}): Example {
  const dims = given.dims ?? [2, 3, 4];
  return {
    op,
    opset: 18,
    dims,
    axes: [1],
    rank: dims.length,
    more: () => [],
    attributes: 'more' in given ? () => ({}) : ([axis]) => ({ axis }),
    outputs: ['float32'],
    ...given,
  };
}

const axisAnd = (more: Partial<Example>) => ({ attributes: ([axis]: readonly number[]) => ({ axis }), ...more });
const REDUCTIONS = 'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'.split(' ').map((name) => `Reduce${name}`);

const EXAMPLES: readonly Example[] = [
  ...['ArgMax', 'ArgMin'].map((op) => example(op, { outputs: ['int64'] })),
  ...['Softmax', 'LogSoftmax', 'Hardmax', 'LpNormalization', 'Flatten'].map((op) => example(op)),
  ...['Softmax', 'LogSoftmax', 'Hardmax', 'Flatten'].map((op) => example(op, { opset: 11 })),
  ...REDUCTIONS.map((op) => example(op, { axes: [0, 2], more: (axes) => [ints(...axes)] })),
  ...REDUCTIONS.map((op) => example(op, { axes: [2, 1], opset: 11, attributes: (axes) => ({ axes }) })),
  example('Compress', axisAnd({ more: () => [Tensor.of('bool', [3], Uint8Array.of(1, 0, 1))] })),
  example('Concat', axisAnd({ more: () => [floats([2, 1, 4], 2)] })),
  example('CumSum', { more: ([axis]) => [Tensor.scalar('int64', axis)] }),
  example(
    'DequantizeLinear',
    axisAnd({
      dims: [3],
      rank: 1,
      axes: [0],
      constant: bytes([7, 8, 9]),
      more: () => [floats([3], 2), bytes([3, 4, 5])],
    }),
  ),
  example('DFT', { dims: [2, 3, 4, 2], opset: 17 }),
  example('DFT', { dims: [2, 3, 4, 2], opset: 20, more: ([axis]) => [int64s([], 5), Tensor.scalar('int64', axis)] }),
  example('Gather', axisAnd({ more: () => [ints(2, 0)] })),
  example('GatherElements', axisAnd({ more: () => [int64s([1, 2, 1], 2, 0)] })),
  example('LayerNormalization', axisAnd({ more: () => [floats([3, 4], 2), floats([3, 4], 3)] })),
  example('MeanVarianceNormalization', { axes: [0, 2], attributes: (axes) => ({ axes }) }),
  // Of the result, which has an axis more.
  example(
    'OneHot',
    axisAnd({
      dims: [2],
      rank: 2,
      axes: [0],
      constant: ints(2, 0),
      more: () => [ints(3), Tensor.of('float32', [2], Float32Array.of(-1, 2))],
    }),
  ),
  example('Pad', { axes: [2, 0], more: (axes) => [ints(1, 0, 0, 2), Tensor.scalar('float32', 0.5), ints(...axes)] }),
  example(
    'QuantizeLinear',
    axisAnd({
      more: () => [Tensor.of('float32', [3], Float32Array.of(0.1, 0.2, 0.3)), bytes([3, 4, 5])],
      outputs: ['uint8'],
    }),
  ),
  example('RMSNormalization', axisAnd({ opset: 23, more: () => [floats([3, 4], 2)] })),
  example('Resize', {
    axes: [2, 0],
    more: () => [floats([0], 1), Tensor.of('float32', [2], Float32Array.of(2, 1.5))],
    attributes: (axes) => ({ axes, mode: 'linear' }),
  }),
  example('Scatter', axisAnd({ opset: 10, more: () => [int64s([1, 1, 1], 2), floats([1, 1, 1], 2)] })),
  example('ScatterElements', axisAnd({ more: () => [int64s([1, 1, 1], 2), floats([1, 1, 1], 2)] })),
  example('Slice', { axes: [2, 0], more: (axes) => [ints(1, 0), ints(3, 1), ints(...axes)] }),
  example('Split', { outputs: ['float32', 'float32'], attributes: ([axis]) => ({ axis, num_outputs: 2 }) }),
  example('Squeeze', { dims: [2, 1, 4], more: (axes) => [ints(...axes)] }),
  example('Squeeze', { dims: [2, 1, 4], opset: 11, attributes: (axes) => ({ axes }) }),
  example('TopK', axisAnd({ more: () => [ints(2)], outputs: ['float32', 'int64'] })),
  // The standard does not say what a negative place means; ONNX Runtime refuses it, exporters write it.
  example('Transpose', { axes: [0, 2, 1], attributes: (perm) => ({ perm }) }),
  example('Unique', { outputs: ['float32'] }),
  // Of the result, which has two axes more.
  example('Unsqueeze', { axes: [3, 1], rank: 5, more: (axes) => [ints(...axes)] }),
  example('Unsqueeze', { axes: [3, 1], rank: 5, opset: 11, attributes: (axes) => ({ axes }) }),
];

/** Operators with attributes for axes, and where they are tested otherwise, or why they are not. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  ConcatFromSequence: 'a sequence: sequence.test.ts',
  ReverseSequence: 'axes 0 and 1 alone, by the standard',
  Scan: 'with a body: control-flow.test.ts',
  SplitToSequence: 'a sequence: sequence.test.ts',
};

test('every operator that takes axes is here', () => {
  const taking = SCHEMAS.trim()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([op, , ...names]) => operators.has(op) && names.some((name) => /(^|_)ax[ei]s$|^perm$/.test(name)))
    .map(([op]) => op);
  const here = new Set([...EXAMPLES.map(({ op }) => op), ...Object.keys(ELSEWHERE)]);
  expect(taking.filter((op) => !here.has(op))).toEqual([]);
});

describe('axes counted from the end are those counted from the front', () => {
  test.each(EXAMPLES.map((each) => [`${each.op} of opset ${each.opset}`, each] as const))('%s', async (_, each) => {
    const [front, end] = [each.axes, each.axes.map((axis) => axis - each.rank)];
    const [expected, found] = [await results(each, front), await results(each, end)];
    expect(found).toEqual(expected);
  });
});

/** Outputs, and the gradient of the sum of their squares. */
async function results(each: Example, axes: readonly number[]) {
  const graph = importGraph(parseModel(modelOf(each, axes)));
  const [x] = graph.inputs;
  const shapes = graph.outputs.map(({ shape }) => shape);
  const e = emitterOf(graph);
  const [y] = graph.outputs;
  if (typeof operators.get(each.op)?.gradient === 'function' && isDifferentiable(y.dtype)) {
    const gradient = differentiate(graph, e.reduceSum(e.square(y)), [x], operators).get(x);
    graph.outputs.push(gradient ?? e.zerosLike(x));
  }
  const names = graph.outputs.map(({ name }) => name);
  const session = await Session.create(graph);
  const computed = await session.run({ x: float32(each.dims, randomNumbers(sizeOf(each.dims), 9)) });
  await session.release();
  return { shapes: shapes.map((shape) => shape?.map(String)), values: names.map((name) => computed[name]) };
}

function modelOf(
  { op, opset, dims, constant, more, attributes, outputs }: Example,
  axes: readonly number[],
): Uint8Array {
  const graph = new Graph('test');
  const input = graph.addInput('x', { dtype: 'float32', shape: dims });
  const x = constant === undefined ? input : graph.addInitializer('constant', constant);
  const rest = more(axes).map((tensor, i) => graph.addInitializer(`w${i}`, tensor));
  const values = outputs.map((dtype, i) => graph.addValue(`y${i}`, { dtype }));
  const protos = Object.entries(attributes(axes)).map(([name, value]) => attribute(name, value));
  graph.addNode(new Node({ name: 'node', op, inputs: [x, ...rest], outputs: values, attributes: protos }));
  graph.outputs.push(...values);
  const proto = modelFromGraph(graph);
  proto.opsetImport[0].version = BigInt(opset);
  return writeModel(proto);
}
