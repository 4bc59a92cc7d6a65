import { float32, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { decomposeNodes } from '../passes/lower.js';
import { operators } from './index.js';

/** An operator applied to tensors of which some have no elements. */
interface Case {
  readonly name: string;
  readonly dims: readonly (readonly number[])[];
  readonly build: (e: Emitter, ...inputs: Value[]) => Value;
}

const unaries = [
  'Abs',
  'Celu',
  'Cos',
  'Elu',
  'Erf',
  'Exp',
  'HardSigmoid',
  'HardSwish',
  'Identity',
  'LeakyRelu',
  'Log',
  'Mish',
  'Neg',
  'Reciprocal',
  'Relu',
  'Selu',
  'Sigmoid',
  'Softplus',
  'Softsign',
  'Sqrt',
  'Tanh',
  'ThresholdedRelu',
  'Clip',
  'Shrink',
  'Gelu',
  'Swish',
];
// ONNX Runtime gives an empty tensor back as it was where a reduction counts its axes from the end; these do not.
const reductions = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Mean', 'Sum', 'SumSquare', 'Prod'];

const CASES: readonly Case[] = [
  ...unaries.map((op): Case => ({ name: op, dims: [[2, 0]], build: (e, x) => e.node(op, [x]) })),
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'PRelu'].flatMap((op): Case[] => [
    {
      name: `${op} of two`,
      dims: [
        [0, 3],
        [0, 3],
      ],
      build: (e, a, b) => e.node(op, [a, b]),
    },
    {
      name: `${op}, one row broadcast to none`,
      dims: [
        [0, 3],
        [1, 3],
      ],
      build: (e, a, b) => e.node(op, [a, b]),
    },
    { name: `${op}, a vector broadcast to no rows`, dims: [[2, 0, 3], [3]], build: (e, a, b) => e.node(op, [a, b]) },
  ]),
  { name: 'Where', dims: [[0, 3], [3]], build: (e, a, b) => e.where(e.greater(a, b), a, b) },
  ...reductions.flatMap((op): Case[] => [
    {
      name: `Reduce${op} over another axis`,
      dims: [[0, 3]],
      build: (e, x) => e.node(`Reduce${op}`, [x, e.int64([1])]),
    },
    {
      name: `Reduce${op} over two others`,
      dims: [[2, 0, 3]],
      build: (e, x) => e.node(`Reduce${op}`, [x, e.int64([0, 2])], { keepdims: 0 }),
    },
  ]),
  { name: 'ReduceSum over the empty axis', dims: [[2, 0]], build: (e, x) => e.node('ReduceSum', [x, e.int64([1])]) },
  { name: 'ReduceSum of nothing', dims: [[0]], build: (e, x) => e.node('ReduceSum', [x], { keepdims: 0 }) },
  {
    name: 'MatMul without rows',
    dims: [
      [0, 3],
      [3, 2],
    ],
    build: (e, a, b) => e.matMul(a, b),
  },
  {
    name: 'MatMul without columns',
    dims: [
      [2, 3],
      [3, 0],
    ],
    build: (e, a, b) => e.matMul(a, b),
  },
  {
    name: 'MatMul of nothing in between',
    dims: [
      [2, 0],
      [0, 3],
    ],
    build: (e, a, b) => e.matMul(a, b),
  },
  {
    name: 'MatMul of no matrices',
    dims: [
      [0, 2, 3],
      [3, 2],
    ],
    build: (e, a, b) => e.matMul(a, b),
  },
  { name: 'Gemm without rows', dims: [[0, 3], [3, 2], [2]], build: (e, a, b, c) => e.node('Gemm', [a, b, c]) },
  {
    name: 'Gemm transposed, without rows',
    dims: [[3, 0], [2, 3], [2]],
    build: (e, a, b, c) => e.node('Gemm', [a, b, c], { transA: 1, transB: 1 }),
  },
  { name: 'Transpose', dims: [[2, 0, 3]], build: (e, x) => e.transpose(x, [2, 0, 1]) },
  {
    name: 'Reshape with allowzero',
    dims: [[2, 0]],
    build: (e, x) => e.node('Reshape', [x, e.int64([0, 3])], { allowzero: 1 }),
  },
  { name: 'Reshape that copies', dims: [[2, 0, 3]], build: (e, x) => e.reshape(x, [0, 0, 3]) },
  { name: 'Flatten', dims: [[2, 0, 3]], build: (e, x) => e.node('Flatten', [x], { axis: -1 }) },
  { name: 'Squeeze', dims: [[1, 0]], build: (e, x) => e.squeeze(x, [0]) },
  { name: 'Unsqueeze', dims: [[0]], build: (e, x) => e.unsqueeze(x, [-1]) },
  {
    name: 'Concat with nothing',
    dims: [
      [2, 0],
      [2, 3],
    ],
    build: (e, a, b) => e.concat([a, b], -1),
  },
  {
    name: 'Concat of nothing',
    dims: [
      [0, 2],
      [0, 3],
    ],
    build: (e, a, b) => e.concat([a, b], 1),
  },
  {
    name: 'Split into a piece of nothing',
    dims: [[3]],
    build: (e, x) => e.concat([...e.nodes('Split', [x, e.int64([0, 2, 1])], {}, 3)].reverse(), 0),
  },
  { name: 'Slice of nothing', dims: [[0, 3]], build: (e, x) => e.slice(x, { starts: [0], ends: [2], axes: [-1] }) },
  { name: 'Slice to nothing', dims: [[3, 2]], build: (e, x) => e.slice(x, { starts: [2], ends: [1], axes: [0] }) },
  { name: 'Gather of nothing', dims: [[3, 2]], build: (e, x) => e.gather(x, e.int64([])) },
  { name: 'Gather from no rows', dims: [[0, 2]], build: (e, x) => e.gather(x, e.int64([1]), 1) },
  { name: 'Pad nothing to something', dims: [[0, 2]], build: (e, x) => e.node('Pad', [x, e.int64([1, 0, 1, 0])]) },
  { name: 'Expand', dims: [[1, 0]], build: (e, x) => e.node('Expand', [x, e.int64([3, 0])]) },
  { name: 'Expand to nothing', dims: [[1, 2]], build: (e, x) => e.node('Expand', [x, e.int64([0, 2])]) },
  { name: 'Tile to nothing', dims: [[2, 2]], build: (e, x) => e.node('Tile', [x, e.int64([0, 1])]) },
  { name: 'Softmax', dims: [[0, 3]], build: (e, x) => e.node('Softmax', [x], { axis: -1 }) },
  { name: 'LogSoftmax', dims: [[0, 3]], build: (e, x) => e.node('LogSoftmax', [x], { axis: -1 }) },
  { name: 'CumSum', dims: [[0, 3]], build: (e, x) => e.node('CumSum', [x, e.scalar(-1, 'int64')]) },
  {
    name: 'LayerNormalization',
    dims: [[0, 3], [3], [3]],
    build: (e, x, s, b) => e.node('LayerNormalization', [x, s, b]),
  },
  {
    name: 'Conv of no images',
    dims: [[0, 2, 4, 4], [3, 2, 3, 3], [3]],
    build: (e, x, w, b) => e.node('Conv', [x, w, b]),
  },
  { name: 'GlobalAveragePool of no images', dims: [[0, 2, 4, 4]], build: (e, x) => e.node('GlobalAveragePool', [x]) },
  { name: 'Sum', dims: [[0, 2], [2]], build: (e, a, b) => e.node('Sum', [a, b]) },
  { name: 'Trilu', dims: [[0, 2, 2]], build: (e, x) => e.node('Trilu', [x]) },
  {
    name: 'Einsum',
    dims: [
      [2, 0],
      [0, 3],
    ],
    build: (e, a, b) => e.node('Einsum', [a, b], { equation: 'ij,jk->ik' }),
  },
  {
    name: 'GatherElements of nothing',
    dims: [[2, 3]],
    build: (e, x) => e.node('GatherElements', [x, e.node('Reshape', [e.int64([]), e.int64([0, 3])], { allowzero: 1 })]),
  },
];

function application({ dims, build }: Case) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const inputs = dims.map((shape, i) => graph.addInput(`x${i}`, { dtype: 'float32', shape }));
  return { graph, e, inputs, y: build(e, ...inputs) };
}

const filled = (dims: readonly number[]) => {
  const size = dims.reduce((a, b) => a * b, 1);
  return float32(
    dims,
    Array.from({ length: size }, (_, i) => 0.5 + i / 8),
  );
};

describe('empty dimensions: shapes as in ONNX Runtime, gradients of the shapes of the inputs', () => {
  test.each(CASES.map((example) => [example.name, example] as const))('%s', async (_, example) => {
    const { graph, e, inputs, y } = application(example);
    decomposeNodes(graph, operators);
    const found = differentiate(graph, e.reduceSum(e.square(y)), inputs, operators);
    const gradients = inputs.map((input) => found.get(input) ?? e.zerosLike(input));
    graph.outputs.push(y, ...new Set(gradients));
    graph.removeDead();
    const results = await runGraph(graph, Object.fromEntries(example.dims.map((dims, i) => [`x${i}`, filled(dims)])));
    expect(y.shape).toEqual(results[y.name].dims);
    gradients.forEach(({ name }, i) => {
      expect(results[name].dims).toEqual(example.dims[i]);
      expect(results[name].data.every(Number.isFinite)).toBe(true);
      // The loss is an empty sum, or does not depend on an input that meets no elements.
      if (results[y.name].data.length === 0) expect(results[name].data.every((slope) => slope === 0)).toBe(true);
    });
  });
});
