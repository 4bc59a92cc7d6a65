import { finiteDifferences, float32, float64, randomNumbers, relativeError, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { attribute, float, type AttributeValue } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import { modelFromGraph } from '../graph/to-model.js';
import { importGraph } from '../passes/import.js';
import type { DType } from '../model/dtype.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { operators } from './index.js';

interface Example {
  readonly op: string;
  readonly domain?: string;
  readonly dims: readonly number[];
  /** Inputs after the first; left out where undefined. */
  readonly more?: readonly (Tensor | undefined)[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly outputs?: readonly DType[];
  readonly opset?: number;
}

const sizeOf = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
const weights = (seed: number, ...dims: number[]) =>
  Tensor.of('float32', dims, Float32Array.from(randomNumbers(sizeOf(dims), seed)));
const bytes = (dims: readonly number[], ...data: number[]) => Tensor.of('uint8', dims, Uint8Array.from(data));
const number = (value: number) => Tensor.scalar('float32', value);
const zero = bytes([], 3);

const MICROSOFT = 'com.microsoft';

/** The first input of those on integers is a constant: the sessions of tests feed floats. */
const FLOATS: readonly Example[] = [
  ...['Relu', 'Tanh', 'Sigmoid', 'LeakyRelu', 'Clip', 'HardSigmoid'].map((activation): Example => ({
    op: 'FusedConv',
    domain: MICROSOFT,
    dims: [1, 2, 4, 4],
    more: [weights(1, 3, 2, 3, 3), weights(2, 3), activation === 'Relu' ? weights(3, 1, 3, 4, 4) : undefined],
    attributes: {
      activation,
      pads: [1, 1, 1, 1],
      ...({ LeakyRelu: { activation_params: float([0.2]) }, Clip: { activation_params: float([-0.3, 0.4]) } }[
        activation
      ] ?? (activation === 'HardSigmoid' ? { activation_params: float([0.3, 0.4]) } : {})),
    },
  })),
  {
    op: 'FusedGemm',
    domain: MICROSOFT,
    dims: [2, 3],
    more: [weights(1, 4, 3), weights(2, 4)],
    attributes: { transB: 1, alpha: float(0.5), activation: 'LeakyRelu', activation_alpha: float(0.1) },
  },
  {
    op: 'FusedMatMul',
    domain: MICROSOFT,
    dims: [2, 3, 4],
    more: [weights(1, 2, 5, 3)],
    attributes: { transA: 1, transB: 1, alpha: float(0.25) },
  },
  {
    op: 'SkipLayerNormalization',
    domain: MICROSOFT,
    dims: [2, 3, 4],
    more: [weights(1, 2, 3, 4), weights(2, 4), weights(3, 4), weights(4, 4)],
    attributes: { epsilon: float(1e-3) },
  },
  {
    op: 'SkipSimplifiedLayerNormalization',
    domain: MICROSOFT,
    dims: [2, 3, 4],
    more: [weights(1, 2, 3, 4), weights(2, 4), weights(3, 4)],
  },
  { op: 'SimplifiedLayerNormalization', dims: [2, 3, 4], more: [weights(1, 4)], attributes: { axis: -1 } },
  { op: 'Hardmax', dims: [2, 3, 4], attributes: { axis: 1 } },
  { op: 'Hardmax', dims: [2, 3, 4], opset: 11 },
  { op: 'QuantizeLinear', dims: [2, 3], more: [number(0.1), zero], outputs: ['uint8'] },
  { op: 'DynamicQuantizeLinear', dims: [2, 3], outputs: ['uint8', 'float32', 'uint8'] },
  { op: 'Det', dims: [2, 3, 3] },
  { op: 'Unique', dims: [6], outputs: ['float32', 'int64', 'int64', 'int64'] },
  ...[
    { opset: 16, attributes: { mode: 'bicubic', padding_mode: 'border' } },
    { opset: 20, attributes: { mode: 'linear', align_corners: 1 } },
    { opset: 20, attributes: {} },
  ].map((more): Example => ({ op: 'GridSample', dims: [1, 2, 3, 4], more: [weights(1, 1, 5, 2, 2)], ...more })),
  { op: 'DFT', opset: 20, dims: [2, 3, 5, 1], attributes: { onesided: 1 } },
  {
    op: 'DFT',
    opset: 20,
    dims: [2, 3, 5, 2],
    more: [undefined, Tensor.scalar('int64', -3)],
    attributes: { inverse: 1 },
  },
  {
    op: 'GridSample',
    opset: 20,
    dims: [1, 2, 3, 4, 2],
    more: [weights(1, 1, 3, 1, 2, 3)],
    attributes: { padding_mode: 'reflection' },
  },
  ...[10, 16].map((opset): Example => ({
    op: 'RoiAlign',
    opset,
    dims: [1, 2, 6, 6],
    more: [
      Tensor.of('float32', [2, 4], Float32Array.of(0, 1, 4, 5, 1, 0, 3, 3)),
      Tensor.of('int64', [2], BigInt64Array.of(0n, 0n)),
    ],
    attributes: { output_height: 2, output_width: 3 },
  })),
  {
    op: 'Compress',
    dims: [3, 4],
    more: [Tensor.of('bool', [4], Uint8Array.of(1, 0, 0, 1))],
    attributes: { axis: -1 },
  },
];

function modelOf({ op, domain = '', dims, more = [], attributes = {}, outputs = ['float32'], opset = 18 }: Example) {
  const graph = new Graph('test');
  const x = graph.addInput('x', { dtype: 'float32', shape: dims });
  const rest = more.map((tensor, i) => (tensor === undefined ? undefined : graph.addInitializer(`w${i}`, tensor)));
  const values = outputs.map((dtype, i) => graph.addValue(`y${i}`, { dtype }));
  const protos = Object.entries(attributes).map(([name, value]) => attribute(name, value));
  graph.addNode(new Node({ name: 'node', op, domain, inputs: [x, ...rest], outputs: values, attributes: protos }));
  graph.outputs.push(...values);
  const proto = modelFromGraph(graph);
  proto.opsetImport[0].version = BigInt(opset);
  return writeModel(proto);
}

describe('operators that ONNX Runtime has, or that quantized models have', () => {
  test.each(FLOATS.map((example) => [`${example.op} ${JSON.stringify(example.attributes ?? {})}`, example] as const))(
    '%s: the same results and shapes after import',
    async (_, example) => {
      const model = modelOf(example);
      const feeds = { x: float32(example.dims, randomNumbers(sizeOf(example.dims), 9)) };
      const [original, imported] = [await Session.fromBytes(model), importGraph(parseModel(model))];
      const session = await Session.create(imported);
      const [expected, actual] = [await original.run(feeds), await session.run(feeds)];
      await Promise.all([original.release(), session.release()]);
      imported.outputs.forEach(({ name, dtype, shape }) => {
        expect(dtype).toBe(expected[name].dtype);
        expect(shape?.map((dim, i) => (typeof dim === 'number' ? dim : expected[name].dims[i]))).toEqual(
          expected[name].dims,
        );
        expect(actual[name].dims).toEqual(expected[name].dims);
        // Float32 rounds by 6e-8, and sums here have below a hundred terms.
        expect(relativeError(actual[name].data, expected[name].data)).toBeLessThan(5e-6);
      });
    },
  );

  test.each(FLOATS.filter(({ domain }) => domain === MICROSOFT).map((example) => [example.op, example] as const))(
    '%s passes gradients on',
    (_, example) => {
      const { problems } = checkModel(parseModel(modelOf(example)), { train: /^w0$/ });
      expect(problems).toEqual([]);
    },
  );

  test.each([
    ['MatMulInteger', [bytes([2, 3], 1, 2, 3, 4, 5, 6), bytes([3, 2], 6, 5, 4, 3, 2, 1), zero], 'int32', [2, 2]],
    ['ConvInteger', [bytes([1, 1, 2, 3], 1, 2, 3, 4, 5, 6), bytes([1, 1, 1, 2], 6, 5), zero], 'int32', [1, 1, 2, 2]],
    [
      'QLinearMatMul',
      [bytes([2, 1], 9, 8), number(0.1), zero, bytes([1, 2], 7, 6), number(0.2), zero, number(0.3), zero],
      'uint8',
      [2, 2],
    ],
    [
      'QLinearConv',
      [bytes([1, 1, 3], 9, 8, 7), number(0.1), zero, bytes([1, 1, 2], 7, 6), number(0.2), zero, number(0.3), zero],
      'uint8',
      [1, 1, 2],
    ],
  ] as const)('%s: the dtype and shape of ONNX Runtime', async (op, inputs, dtype, dims) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const y = e.node(
      op,
      inputs.map((tensor) => e.constant(tensor)),
    );
    graph.outputs.push(y);
    const session = await Session.create(graph);
    expect((await session.run({}))[y.name]).toMatchObject({ dtype, dims });
    await session.release();
    expect(y).toMatchObject({ dtype, shape: dims });
  });

  test.each(['HannWindow', 'HammingWindow', 'BlackmanWindow', 'MelWeightMatrix'])('%s: the shape', async (op) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const [size, low, high] = [e.scalar(16, 'int64'), number(0), number(4000)];
    const bands = [e.scalar(4, 'int64'), size, e.scalar(8000, 'int64'), e.constant(low), e.constant(high)];
    const y = e.node(op, op === 'MelWeightMatrix' ? bands : [size]);
    graph.outputs.push(y);
    const session = await Session.create(graph);
    expect((await session.run({}))[y.name].dims).toEqual(y.shape);
    await session.release();
  });

  test('NonMaxSuppression lists boxes by batch, class and box', async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const boxes = e.constant(Tensor.of('float32', [1, 2, 4], Float32Array.of(0, 0, 1, 1, 0, 2, 1, 3)));
    const scores = e.constant(Tensor.of('float32', [1, 1, 2], Float32Array.of(0.9, 0.8)));
    const kept = e.node('NonMaxSuppression', [boxes, scores, e.int64([2])]);
    graph.outputs.push(kept);
    const session = await Session.create(graph);
    expect((await session.run({}))[kept.name]).toEqual({ dtype: 'int64', dims: [2, 3], data: [0, 0, 0, 0, 0, 1] });
    await session.release();
    expect(kept).toMatchObject({ dtype: 'int64', shape: [{}, 3] });
  });
});

test.each([undefined, 0, -1])('Compress along %s: cotangents go back to where the condition holds', async (axis) => {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float64', shape: [3, 4] });
  const condition = Tensor.of('bool', [3], Uint8Array.of(0, 1, 1));
  const y = e.node('Compress', [x, e.constant(condition)], { axis });
  const loss = e.reduceSum(e.mul(y, e.node('Sin', [y])));
  const gradient = differentiate(graph, loss, [x], operators).get(x) ?? expect.fail('no gradient');
  graph.outputs.push(loss, gradient);
  const session = await Session.create(graph);
  const feeds = { x: float64([3, 4], randomNumbers(12, 3)) };
  const numeric = await finiteDifferences(session, feeds, 'x', loss.name);
  // Good to about 1e-9: see finiteDifferences.
  expect(relativeError((await session.run(feeds))[gradient.name].data, numeric)).toBeLessThan(1e-7);
  await session.release();
});
