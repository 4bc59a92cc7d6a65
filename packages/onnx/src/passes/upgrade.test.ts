import { float32, type Numbers, randomNumbers, relativeError, runGraph, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { float, type AttributeValue } from '../graph/attribute.js';
import { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { importGraph } from './import.js';
import { parseModel, writeModel, type Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';

/** One node as files of an older opset write it. */
interface Old {
  readonly op: string;
  readonly opset: number;
  readonly dims: readonly number[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** Constant inputs after the first. */
  readonly constants?: readonly Tensor[];
  readonly outputs?: number;
}

const values = (...data: number[]) => Tensor.of('float32', [data.length], Float32Array.from(data));

const four = [values(1, 2, 3, 4), values(0.1, 0.2, 0.3, 0.4)];

const reductions = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare'];

const CASES: readonly Old[] = [
  ...reductions.flatMap((name): Old[] => [
    { op: `Reduce${name}`, opset: 7, dims: [2, 3, 4], attributes: { axes: [1] } },
    { op: `Reduce${name}`, opset: 11, dims: [2, 3, 4], attributes: { axes: [-1, 0], keepdims: 0 } },
    { op: `Reduce${name}`, opset: 12, dims: [2, 3] },
  ]),
  { op: 'Squeeze', opset: 7, dims: [1, 2, 1], attributes: { axes: [0] } },
  { op: 'Squeeze', opset: 12, dims: [1, 2, 1] },
  { op: 'Unsqueeze', opset: 7, dims: [2, 3], attributes: { axes: [0, 2] } },
  { op: 'Split', opset: 7, dims: [5, 2], attributes: { split: [2, 3] }, outputs: 2 },
  { op: 'Split', opset: 11, dims: [2, 6], attributes: { axis: -1 }, outputs: 3 },
  ...['Softmax', 'LogSoftmax'].flatMap((op): Old[] => [
    { op, opset: 7, dims: [2, 3, 4] },
    { op, opset: 11, dims: [2, 3, 4], attributes: { axis: -1 } },
    { op, opset: 12, dims: [2, 3, 4], attributes: { axis: 0 } },
    { op, opset: 9, dims: [2, 3] },
  ]),
  { op: 'Dropout', opset: 7, dims: [2, 3], attributes: { ratio: float(0.3) } },
  { op: 'Dropout', opset: 10, dims: [2, 3] },
  { op: 'Clip', opset: 7, dims: [8], attributes: { min: float(-0.25), max: float(0.5) } },
  { op: 'Clip', opset: 10, dims: [8], attributes: { max: float(0.5) } },
  { op: 'Slice', opset: 7, dims: [4, 5], attributes: { starts: [1, -3], ends: [9, 5] } },
  { op: 'Slice', opset: 9, dims: [4, 5], attributes: { starts: [1], ends: [-1], axes: [1] } },
  { op: 'Pad', opset: 7, dims: [2, 3], attributes: { pads: [0, 1, 2, 0], value: float(1.5) } },
  { op: 'Pad', opset: 10, dims: [3, 4], attributes: { pads: [1, 2, 0, 1], mode: 'reflect' } },
  { op: 'TopK', opset: 7, dims: [2, 5], attributes: { k: 3 }, outputs: 2 },
  { op: 'TopK', opset: 10, dims: [2, 5], constants: [Tensor.int64([2])], outputs: 2 },
  {
    op: 'Scatter',
    opset: 9,
    dims: [4],
    constants: [Tensor.int64([2, 0]), values(7, 8)],
  },
  ...[7, 9].map((opset): Old => ({
    op: 'BatchNormalization',
    opset,
    dims: [2, 3, 2],
    attributes: { epsilon: float(1e-3) },
    constants: [values(1, 2, 3), values(0.1, 0.2, 0.3), values(0.5, 0, -0.5), values(1, 2, 0.5)],
  })),
  ...[
    [2, 3],
    [0.5, 0.6],
    [0.5, 1.7],
  ].flatMap((factors) =>
    ['nearest', 'linear'].map((mode): Old => ({
      op: 'Resize',
      opset: 10,
      dims: [1, 2, 6, 5],
      attributes: { mode },
      constants: [values(1, 1, ...factors)],
    })),
  ),
  ...['nearest', 'linear'].flatMap((mode): Old[] => [
    { op: 'Upsample', opset: 7, dims: [1, 2, 3, 5], attributes: { mode, scales: float([1, 1, 2, 1.5]) } },
    { op: 'Upsample', opset: 9, dims: [1, 2, 3, 5], attributes: { mode }, constants: [values(1, 1, 2.6, 3)] },
  ]),
  ...[1, 0].map((include): Old => ({
    op: 'AveragePool',
    opset: 19,
    dims: [1, 2, 9, 8],
    attributes: {
      kernel_shape: [2, 3],
      dilations: [3, 2],
      strides: [2, 3],
      pads: [1, 0, 1, 2],
      ceil_mode: 1,
      count_include_pad: include,
    },
  })),
  ...[11, 19, 22].flatMap((opset) =>
    [1, 0].map((include): Old => ({
      op: 'AveragePool',
      opset,
      dims: [1, 2, 8],
      attributes: { kernel_shape: [3], strides: [2], pads: [1, 1], ceil_mode: 1, count_include_pad: include },
    })),
  ),
  ...[12, 22].map((opset): Old => ({
    op: 'MaxPool',
    opset,
    dims: [1, 2, 5],
    attributes: { kernel_shape: [1], strides: [3], pads: [0, 0], ceil_mode: 1 },
  })),
  ...[18, 22].map((opset): Old => ({
    op: 'LpPool',
    opset,
    dims: [1, 2, 8],
    attributes: { kernel_shape: [3], strides: [2], dilations: [2], ceil_mode: 1 },
  })),
  { op: 'Pad', opset: 19, dims: [2, 3], attributes: { mode: 'wrap' }, constants: [Tensor.int64([1, 2, 0, 3])] },
  { op: 'Squeeze', opset: 13, dims: [1, 2, 1], constants: [Tensor.int64([])] },
  { op: 'GroupNormalization', opset: 21, dims: [2, 4, 3], attributes: { num_groups: 2 }, constants: four },
  { op: 'Gelu', opset: 20, dims: [2, 3], attributes: { approximate: 'tanh' } },
  { op: 'Cast', opset: 19, dims: [2, 3], attributes: { to: 1, saturate: 1 } },
  {
    op: 'Resize',
    opset: 19,
    dims: [1, 2, 5, 4],
    attributes: { mode: 'linear', coordinate_transformation_mode: 'half_pixel_symmetric' },
    constants: [values(), values(1, 1, 1.7, 0.6)],
  },
  {
    op: 'Resize',
    opset: 11,
    dims: [1, 2, 5, 4],
    attributes: { coordinate_transformation_mode: 'tf_half_pixel_for_nn' },
    constants: [values(), values(1, 1, 1.7, 2)],
  },
  {
    op: 'TopK',
    opset: 24,
    dims: [2, 5],
    constants: [Tensor.int64([2])],
    outputs: 2,
  },
  // The same form then as now, which only newer files may make anything else of.
  { op: 'Flatten', opset: 7, dims: [2, 3, 4], attributes: { axis: 2 } },
  { op: 'Concat', opset: 7, dims: [2, 3], attributes: { axis: 1 }, constants: [] },
  { op: 'MaxPool', opset: 7, dims: [1, 2, 6], attributes: { kernel_shape: [2], strides: [2] } },
  {
    op: 'AveragePool',
    opset: 7,
    dims: [1, 2, 6],
    attributes: { kernel_shape: [3], pads: [1, 1], count_include_pad: 1 },
  },
  { op: 'Gather', opset: 7, dims: [4, 2], constants: [Tensor.int64([3, 0])] },
  { op: 'Gemm', opset: 7, dims: [2, 2], constants: [Tensor.filled('float32', [2, 2], 2), values(1, 2)] },
  { op: 'PRelu', opset: 7, dims: [2, 2], constants: [values(0.1, 0.2)] },
];

function oldModel({ op, opset, dims, attributes, constants = [], outputs = 1 }: Old, free = false): Model {
  const graph = new Graph('old');
  // Shapes are not inferred: only the model's own opset could.
  const e = new Emitter(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: free ? [symbol('n'), ...dims.slice(1)] : dims });
  const inputs = [x, ...constants.map((tensor) => e.constant(tensor))];
  const results = e.nodes(op, inputs, attributes, outputs);
  results.forEach((value, i) => {
    value.dtype = op === 'TopK' && i === 1 ? 'int64' : 'float32';
  });
  graph.outputs.push(...results);
  const model = modelFromGraph(graph);
  model.opsetImport[0].version = BigInt(opset);
  return parseModel(writeModel(model));
}

const described = CASES.map((old) => [`${old.op} of opset ${old.opset} ${JSON.stringify(old.attributes ?? {})}`, old]);

describe('a node of an older opset computes what it did', () => {
  test.each(described as [string, Old][])('%s', async (_, old) => {
    const { dims } = old;
    const x = randomNumbers(
      dims.reduce((a, b) => a * b, 1),
      7,
    ).map((value) => (old.op === 'ReduceLogSum' ? value + 1.1 : value));
    const model = oldModel(old);
    const session = await Session.fromBytes(writeModel(model));
    const expected = Object.values(await session.run({ x: float32(dims, x) }));
    await session.release();
    const graph = importGraph(model);
    const actual = Object.values(await runGraph(graph, { x: float32(dims, x) }));
    expect(actual.map(({ dims: shape }) => shape)).toEqual(expected.map(({ dims: shape }) => shape));
    expect(graph.outputs.map(({ shape }) => printShape(shape))).toEqual(
      expected.map(({ dims: shape }) => printShape(shape)),
    );
    // The same kernels, or the same sums in another order: a few units in the last place.
    expected.forEach(({ data }, i) => {
      expect(relativeError(actual[i].data, data)).toBeLessThan(1e-6);
    });
  });
});

describe('before opset 7, which ONNX Runtime does not execute,', () => {
  const six = [1, -2, 3, -4, 5, -6];
  const ofNode = (op: string, attributes: Old['attributes'] = {}, constants: readonly Tensor[] = []) => ({
    op,
    attributes: { consumed_inputs: [0, 0], ...attributes },
    constants,
  });

  test.each<[string, Omit<Old, 'dims'>, readonly number[]]>([
    [
      'operands are broadcast from an axis',
      { ...ofNode('Add', { broadcast: 1, axis: 0 }, [values(10, 20)]), opset: 6 },
      [11, 8, 13, 16, 25, 14],
    ],
    [
      'and from the last axes',
      { ...ofNode('Mul', { broadcast: 1 }, [values(1, 2, 3)]), opset: 1 },
      [1, -4, 9, -4, 10, -18],
    ],
    ['Cast names its dtype', { ...ofNode('Cast', { to: 'FLOAT' }), opset: 5 }, six],
    ['Concat is along axis 1', { ...ofNode('Concat', {}, []), opset: 3 }, six],
    ['Reshape has its shape in an attribute', { ...ofNode('Reshape', { shape: [3, -1] }), opset: 4 }, six],
    [
      'Pad has another name for its pads',
      { ...ofNode('Pad', { paddings: [0, 1, 0, 0] }), opset: 1 },
      [0, 1, -2, 3, 0, -4, 5, -6],
    ],
    [
      'Selu has rounded defaults',
      { ...ofNode('Selu'), opset: 5 },
      six.map((x) => 1.0507 * (x > 0 ? x : 1.6732 * Math.expm1(x))),
    ],
  ])('%s', async (_, old, expected) => {
    const graph = importGraph(oldModel({ ...old, dims: [2, 3] }));
    const [y] = Object.values(await runGraph(graph, { x: float32([2, 3], six) }));
    expect(relativeError(y.data, expected)).toBeLessThan(1e-6);
  });

  test('PRelu has a slope for every channel', async () => {
    const graph = importGraph(oldModel({ op: 'PRelu', opset: 6, dims: [1, 2, 3], constants: [values(2, 3)] }));
    const [y] = Object.values(await runGraph(graph, { x: float32([1, 2, 3], six) }));
    expect(y.data).toEqual([1, -4, 3, -12, 5, -18]);
  });

  test('Tile of one axis is refused', () => {
    const old: Old = { op: 'Tile', opset: 1, dims: [2], constants: [values(2), values(0)] };
    expect(() => importGraph(oldModel(old))).toThrow("Tile node 'Tile' is in the form of opset 1");
  });
});

describe('what later opsets know of other types', () => {
  const run = async (opset: number, x: Numbers, build: (e: Emitter, x: Value) => Value) => {
    const graph = new Graph('later');
    const e = new Emitter(graph);
    const y = build(e, graph.addInput('x', { dtype: x.dtype, shape: x.dims }));
    graph.outputs.push(Object.assign(y, { dtype: y.dtype ?? 'float32' }));
    const proto = modelFromGraph(graph);
    proto.opsetImport[0].version = BigInt(opset);
    const session = await Session.fromBytes(writeModel(proto));
    const [expected] = Object.values(await session.run({ x }));
    await session.release();
    const imported = importGraph(parseModel(writeModel(proto)));
    const [actual] = Object.values(await runGraph(imported, { x }));
    expect(actual).toEqual(expected);
    return imported;
  };
  const bytes = Tensor.of('int8', [2, 4], Int8Array.of(1, -2, 3, -4, 5, -6, 7, -8));

  test.each(['ReduceMax', 'ReduceMin'])('%s of bools', async (op) => {
    await run(20, { dtype: 'bool', dims: [2, 3], data: [1, 0, 1, 1, 1, 1] }, (e, x) =>
      Object.assign(e.node(op, [x, e.int64([1])], { keepdims: 0 }), { dtype: 'bool' }),
    );
  });

  test('DequantizeLinear by blocks', async () => {
    const scale = Tensor.of('float32', [2, 2], Float32Array.of(0.5, 2, 1, 0.25));
    const zero = Tensor.of('int8', [2, 2], Int8Array.of(1, 0, -1, 2));
    await run(21, float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]), (e, x) => {
      const inputs = [e.constant(bytes), e.constant(scale), e.constant(zero)];
      return e.mul(x, e.node('DequantizeLinear', inputs, { axis: 1, block_size: 2 }));
    });
  });
});

describe('before opset 13, a softmax', () => {
  test('over the last axis stays one node', () => {
    const graph = importGraph(oldModel({ op: 'Softmax', opset: 11, dims: [2, 3] }));
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Softmax']);
  });

  test('over several axes works on matrices, for any batch', async () => {
    const graph = importGraph(oldModel({ op: 'Softmax', opset: 11, dims: [2, 3, 4] }, true));
    expect(printShape(graph.outputs[0].shape)).toBe('[n, 3, 4]');
    const [y] = Object.values(await runGraph(graph, { x: float32([5, 3, 4], new Array<number>(60).fill(0)) }));
    expect(relativeError(y.data, new Array<number>(60).fill(1 / 12))).toBeLessThan(1e-6);
  });
});

describe('what the target opset cannot express is refused by name', () => {
  const constants = [values(1, 2, 3), values(0, 0, 0), values(0, 0, 0), values(1, 1, 1)];
  test.each<[string, Old, string]>([
    [
      'batch statistics of the old training form',
      { op: 'BatchNormalization', opset: 9, dims: [2, 3], constants, outputs: 3 },
      "BatchNormalization node 'BatchNormalization' is in the training form of opset 9",
    ],
    [
      'statistics for every element',
      { op: 'BatchNormalization', opset: 7, dims: [2, 3], constants, attributes: { spatial: 0 } },
      'has statistics for every element (spatial = 0)',
    ],
    ['Scatter after its end', { op: 'Scatter', opset: 11, dims: [2] }, 'opset 11 took it out'],
  ])('%s', (_, old, message) => {
    expect(() => importGraph(oldModel(old))).toThrow(message);
  });
});
