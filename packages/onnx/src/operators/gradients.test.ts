import {
  activationCases,
  attentionCases,
  type Case,
  einsumCases,
  type Feeds,
  finiteDifferences,
  float32,
  float64,
  imageCases,
  layoutCases,
  lossCases,
  normalizationCases,
  type Numbers,
  poolingCases,
  positive,
  quantizationCases,
  randomNumbers,
  recurrentCases,
  relativeError,
  resizeCases,
  runGraph,
  Session,
  signalCases,
  unaryCases,
} from '@adakit/onnx-reference';
import { emitterOf } from '../inference/emitter-of.js';
import { readData } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import { float } from '../graph/attribute.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { OWN_DOMAIN } from '../model/opset.js';
import { Tensor } from '../model/tensor.js';
import { symbol, type Dim } from '../shape/dim.js';
import { decomposeNodes } from '../passes/lower.js';
import { operators } from './index.js';

const matrix = (...rows: number[][]) =>
  Tensor.of('int64', [rows.length, rows[0].length], BigInt64Array.from(rows.flat(), BigInt));

/** 3, known at run time only. */
function three(e: Emitter): Value {
  const indices = e.node('NonZero', [e.node('Expand', [e.scalar(1, 'float32'), e.int64([3])])]);
  return e.unsqueeze(e.node('ReduceSum', [indices], { keepdims: 0 }), [0]);
}

const slices = [
  { starts: [1, -3], ends: [3, 100], axes: [0, 1] },
  { starts: [1], ends: [7], axes: [1], steps: [2] },
  { starts: [-1], ends: [-100], axes: [1], steps: [-3] },
  { starts: [3, 5], ends: [0, 1], axes: [0, -1], steps: [-2, -1] },
  { starts: [0], ends: [4], axes: [1], steps: [3] },
  { starts: [-2], ends: [2 ** 31 - 1], axes: [1] },
  { starts: [-1], ends: [-(2 ** 31)], axes: [0], steps: [-1] },
];

const products: [number[], number[]][] = [
  [[3], [3]],
  [[3], [3, 2]],
  [[2, 3], [3]],
  [
    [2, 3],
    [3, 4],
  ],
  [[3], [4, 3, 2]],
  [[4, 2, 3], [3]],
  [
    [4, 2, 3],
    [3, 5],
  ],
  [
    [2, 3],
    [4, 3, 5],
  ],
  [
    [4, 2, 3],
    [4, 3, 5],
  ],
  [
    [2, 1, 2, 3],
    [4, 3, 5],
  ],
];

const CASES: readonly Case[] = [
  { name: 'Sqrt', dims: [[2, 3]], build: (e, x) => e.sqrt(x), domain: positive },
  { name: 'Reciprocal', dims: [[2, 3]], build: (e, x) => e.node('Reciprocal', [x]), domain: positive },
  { name: 'Div', dims: [[2, 3], [3]], build: (e, a, b) => e.div(a, b), domain: positive },
  { name: 'Pow', dims: [[2, 3], [3]], build: (e, a, b) => e.pow(a, b), domain: positive },
  { name: 'Pow by 3', dims: [[2, 3]], build: (e, a) => e.pow(a, e.scalar(3, a)) },
  { name: 'Pow by 2', dims: [[2, 3]], build: (e, a) => e.pow(a, e.scalar(2, a)) },
  { name: 'Pow by 0', dims: [[2, 3]], build: (e, a) => e.pow(a, e.scalar(0, a)) },
  { name: 'Pow by int64', dims: [[2, 3]], build: (e, a) => e.pow(a, e.int64([0, 1, 4])) },
  { name: 'Softmax', dims: [[2, 3, 4]], build: (e, x) => e.node('Softmax', [x], { axis: 1 }) },
  { name: 'LogSoftmax', dims: [[2, 3, 4]], build: (e, x) => e.node('LogSoftmax', [x], { axis: -1 }) },
  {
    name: 'ReduceMean over two axes',
    dims: [[2, 3, 4]],
    build: (e, x) => e.node('ReduceMean', [x, e.int64([0, -1])], { keepdims: 0 }),
  },
  { name: 'ReduceMean over all', dims: [[2, 3, 4]], build: (e, x) => e.node('ReduceMean', [x], { keepdims: 0 }) },
  { name: 'ReduceMean, kept', dims: [[2, 3, 4]], build: (e, x) => e.node('ReduceMean', [x, e.int64([1])]) },
  {
    name: 'ReduceSum over nothing',
    dims: [[2, 3]],
    build: (e, x) => e.node('ReduceSum', [x], { noop_with_empty_axes: 1, keepdims: 0 }),
  },
  { name: 'Flatten', dims: [[2, 3, 4]], build: (e, x) => e.node('Flatten', [x], { axis: 2 }) },
  { name: 'Flatten at the rank', dims: [[2, 3]], build: (e, x) => e.node('Flatten', [x], { axis: 2 }) },
  { name: 'Squeeze of all', dims: [[2, 1, 4]], build: (e, x) => e.node('Squeeze', [x]), fixed: true },
  { name: 'Squeeze', dims: [[2, 1, 4]], build: (e, x) => e.squeeze(x, [-2]) },
  { name: 'Unsqueeze', dims: [[2, 4]], build: (e, x) => e.unsqueeze(x, [0, -1]) },
  {
    name: 'Concat',
    dims: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    build: (e, ...x) => e.concat(x, -1),
  },
  {
    name: 'Split with an unused part',
    dims: [[2, 7]],
    build: (e, x) => {
      const [first, , last] = e.nodes('Split', [x], { axis: 1, num_outputs: 3 }, 3);
      return e.concat([last, first], 1);
    },
  },
  ...slices.map((range): Case => ({
    name: `Slice ${JSON.stringify(range)}`,
    dims: [[4, 7]],
    build: (e, x) => e.slice(x, range),
  })),
  {
    name: 'Slice with a bound known at run time only',
    dims: [[4, 7]],
    size: [4, 2],
    build: (e, x) => e.node('Slice', [x, e.int64([-1]), e.neg(three(e)), e.int64([1]), e.int64([-1])]),
  },
  {
    name: 'Slice of two axes with bounds known at run time only',
    dims: [[4, 7, 2]],
    size: [2, 3, 2],
    build: (e, x) =>
      e.node('Slice', [x, e.int64([1, 0]), e.concat([three(e), e.int64([7])], 0), e.int64([0, -2]), e.int64([1, 3])]),
  },
  { name: 'Gather, repeated', dims: [[4, 3]], build: (e, x) => e.gather(x, e.int64([1, 1, -1, 0, 1])) },
  {
    name: 'Gather, matrix of indices',
    dims: [[2, 4, 3]],
    build: (e, x) => e.gather(x, e.constant(matrix([0, 2], [2, -3])), 1),
  },
  { name: 'Gather, one index', dims: [[4, 3, 2]], build: (e, x) => e.gather(x, e.scalar(2, 'int64'), -2) },
  { name: 'Gather from a vector', dims: [[4]], build: (e, x) => e.gather(x, e.int64([1, 1, 3])) },
  {
    name: 'GatherElements, repeated',
    dims: [[3, 4]],
    build: (e, x) => e.node('GatherElements', [x, e.constant(matrix([0, 2], [-1, 2], [3, 2]))], { axis: 1 }),
  },
  {
    name: 'GatherND of elements, repeated',
    dims: [[3, 4]],
    build: (e, x) => e.node('GatherND', [x, e.constant(matrix([0, 2], [2, -1], [0, 2]))]),
  },
  {
    name: 'GatherND of rows',
    dims: [[3, 4]],
    build: (e, x) => e.node('GatherND', [x, e.constant(matrix([1], [2], [1]))]),
  },
  ...['none', 'add', 'mul', 'min', 'max'].flatMap((reduction): Case[] => [
    {
      name: `ScatterElements, reduction ${reduction}`,
      dims: [
        [3, 4],
        [2, 2],
      ],
      build: (e, x, updates) =>
        e.node('ScatterElements', [x, e.constant(matrix([0, 3], [2, -3])), updates], { axis: 1, reduction }),
    },
    {
      name: `ScatterND, reduction ${reduction}`,
      dims: [
        [3, 4],
        [2, 4],
      ],
      build: (e, x, updates) => e.node('ScatterND', [x, e.constant(matrix([2], [0])), updates], { reduction }),
    },
  ]),
  {
    name: 'ReduceL2',
    dims: [[2, 3, 4]],
    build: (e, x) => e.node('ReduceL2', [x, e.int64([-1, 0])], { keepdims: 0 }),
  },
  { name: 'Expand', dims: [[3, 1]], build: (e, x) => e.node('Expand', [x, e.int64([2, 1, 4])]) },
  { name: 'Where', dims: [[3, 1], [4]], build: (e, a, b) => e.where(e.greater(a, b), a, b) },
  { name: 'Clip', dims: [[3, 4]], build: (e, x) => e.node('Clip', [x, e.scalar(-0.3, x), e.scalar(0.4, x)]) },
  { name: 'Clip from above', dims: [[3, 4]], build: (e, x) => e.node('Clip', [x, undefined, e.scalar(0.4, x)]) },
  { name: 'Clip without bounds', dims: [[3, 4]], build: (e, x) => e.node('Clip', [x]) },
  { name: 'Max', dims: [[3, 4], [4], [3, 1]], build: (e, ...x) => e.node('Max', x) },
  { name: 'Min', dims: [[3, 4], [4]], build: (e, ...x) => e.node('Min', x) },
  {
    name: 'Mod of floats',
    dims: [[2, 3], [3]],
    build: (e, a, b) => e.node('Mod', [e.scale(a, 5), b], { fmod: 1 }),
    domain: positive,
  },
  { name: 'Sum', dims: [[3, 4], [4], [1]], build: (e, ...x) => e.node('Sum', x) },
  ...products.map(([a, b]): Case => ({
    name: `MatMul [${a.join()}] by [${b.join()}]`,
    dims: [a, b],
    build: (e, x, y) => e.matMul(x, y),
  })),
  ...[0, 1, 2, 3].map((flags): Case => ({
    name: `Gemm transA=${flags & 1} transB=${flags >> 1}`,
    dims: [flags & 1 ? [3, 2] : [2, 3], flags & 2 ? [4, 3] : [3, 4], [4]],
    build: (e, a, b, c) =>
      e.node('Gemm', [a, b, c], { transA: flags & 1, transB: flags >> 1, alpha: float(0.5), beta: float(2) }),
  })),
  { name: 'Transpose', dims: [[2, 3, 4]], build: (e, x) => e.transpose(x, [1, 2, 0]) },
  { name: 'Transpose of all', dims: [[2, 3, 4]], build: (e, x) => e.transpose(x) },
  { name: 'Reshape', dims: [[2, 3, 4]], build: (e, x) => e.reshape(x, [0, -1]) },
  ...normalizationCases,
  ...activationCases,
  ...imageCases,
  ...layoutCases,
  ...poolingCases,
  ...quantizationCases,
  ...recurrentCases,
  ...einsumCases,
  ...attentionCases,
  ...resizeCases,
  ...signalCases,
  ...lossCases,
];

/** The graph of a case as it is built. */
function application({ dims, build, free: only }: Case, dtype: 'float32' | 'float64', free = false) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const dimension = (length: number): Dim =>
    free && length !== 1 && length === (only ?? length) ? symbol(`d${length}`) : length;
  const inputs = dims.map((shape, i) => graph.addInput(`x${i}`, { dtype, shape: shape.map(dimension) }));
  return { graph, e, inputs, y: build(e, ...inputs) };
}

/** A model `loss = Σ weight · build(x0, x1, …)`, in operators that ONNX Runtime executes. */
function model(example: Case, free: boolean) {
  const { graph, e, inputs, y } = application(example, example.single === true ? 'float32' : 'float64', free);
  decomposeNodes(graph, operators);
  const weight = graph.addInput('weight', { dtype: y.dtype, shape: y.shape });
  return { graph, inputs, y, loss: e.reduceSum(e.node('Mul', [y, weight])) };
}

async function gradients(example: Case, free: boolean, feeds: Feeds): Promise<readonly Numbers[]> {
  const { graph, inputs, loss } = model(example, free);
  const found = differentiate(graph, loss, inputs, operators);
  const outputs = inputs.map((input) => found.get(input) ?? expect.fail(`no gradient for ${input.name}`));
  graph.outputs.push(...outputs);
  graph.removeDead();
  const results = await runGraph(graph, feeds);
  return outputs.map(({ name }) => results[name]);
}

const numbers = (dims: readonly number[], seed: number) =>
  randomNumbers(
    dims.reduce((a, b) => a * b, 1),
    seed,
  );

describe('gradients, against central differences', () => {
  test.each(CASES.map((example) => [example.name, example] as const))('%s', async (_, example) => {
    const { dims, domain = (x: number) => x, single = false } = example;
    const float = single ? float32 : float64;
    const forward = model(example, false);
    forward.graph.outputs.push(forward.loss);
    const weights = example.size ?? (forward.y.shape ?? []).map(Number);
    const feeds: Feeds = {
      ...Object.fromEntries(dims.map((shape, i) => [`x${i}`, float(shape, numbers(shape, i + 3).map(domain))])),
      weight: float(weights, numbers(weights, 99)),
    };
    const session = await Session.create(forward.graph);
    const fixed = await gradients(example, false, feeds);
    for (const [i, gradient] of fixed.entries()) {
      const numeric = await finiteDifferences(session, feeds, `x${i}`, forward.loss.name, single ? 1e-2 : undefined);
      expect(gradient.dims).toEqual(dims[i]);
      // Good to about 1e-9: see finiteDifferences. In float32, a step of 1e-2 truncates by 1e-4, and rounding the loss
      // (6e-8 of some units) over that step gives as much again.
      expect(relativeError(gradient.data, numeric)).toBeLessThan(single ? 1e-3 : 1e-7);
    }
    await session.release();
    if (example.fixed === true) return;
    const free = await gradients(example, true, feeds);
    for (const [i, gradient] of free.entries()) {
      expect(gradient.dims).toEqual(dims[i]);
      // The same sums, perhaps in another order.
      expect(relativeError(gradient.data, fixed[i].data)).toBeLessThan(single ? 1e-6 : 1e-12);
    }
  });
});

describe('operators in terms of others', () => {
  const native = CASES.filter((example) => example.native !== undefined);

  test.each(native.map((example) => [example.name, example] as const))(
    '%s: what ONNX Runtime computes in float32',
    async (_, example) => {
      const { dims, domain = (x: number) => x } = example;
      const data = dims.map((shape, i) => numbers(shape, i + 3).map(domain));
      const run = async (float: typeof float32, { graph, y }: { graph: Graph; y: Value }, opset = 18) => {
        graph.outputs.push(y);
        const session = await Session.create(graph, opset);
        const feeds = dims.map((shape, i) => [`x${i}`, float(shape, data[i])] as const);
        const result = (await session.run(Object.fromEntries(feeds)))[y.name];
        await session.release();
        return result;
      };
      const expected = await run(float32, application(example, 'float32'), example.native);
      const decomposed = application(example, example.single === true ? 'float32' : 'float64');
      decomposeNodes(decomposed.graph, operators);
      const actual = await run(example.single === true ? float32 : float64, decomposed);
      expect(actual.dims).toEqual(expected.dims);
      expect(decomposed.y.shape).toEqual(expected.dims);
      // Float32 rounds by 6e-8, and sums here have below a hundred terms.
      expect(relativeError(actual.data, expected.data)).toBeLessThan(5e-6);
    },
  );
});

describe('every differentiable operator', () => {
  /**
   * Operators that ONNX Runtime has in float32 only, or draws random numbers for: tested by themselves below. Those with
   * bodies, and those that gradients and losses are written in, have files of their own.
   */
  const APART = [
    'Cast',
    'Compress',
    'Dropout',
    'FusedConv',
    'FusedGemm',
    'FusedMatMul',
    'If',
    'MatMulBnb4',
    'MatMulNBits',
    'Mean',
    'Scan',
    'SimplifiedLayerNormalization',
    'SkipLayerNormalization',
    'SkipSimplifiedLayerNormalization',
  ];

  test('has a case here or in the file of PyTorch gradients', () => {
    const file = readData('operators.json') as { readonly cases: readonly { readonly op: string }[] };
    const here = CASES.flatMap((example) => application(example, 'float64').graph.nodes.map(({ op }) => op));
    const tested = new Set([...file.cases.map(({ op }) => op), ...unaryCases.map(({ op }) => op), ...here, ...APART]);
    const differentiable = [...operators.values()].filter(({ gradient }) => typeof gradient === 'function');
    const standard = differentiable.filter(({ domain }) => domain !== OWN_DOMAIN);
    expect(standard.map(({ op }) => op).filter((op) => !tested.has(op))).toEqual([]);
  });

  test('Mean: an equal share for every input', async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const inputs = ['a', 'b', 'c'].map((name) => graph.addInput(name, { dtype: 'float32', shape: [2] }));
    const loss = e.reduceSum(e.node('Mean', inputs));
    graph.outputs.push(...differentiate(graph, loss, inputs, operators).values());
    graph.removeDead();
    const [share] = Object.values(
      await runGraph(graph, Object.fromEntries(inputs.map(({ name }) => [name, TWO_ONES]))),
    );
    expect(share.data).toEqual([Math.fround(1 / 3), Math.fround(1 / 3)]);
  });

  test('Cast: the cotangent in the dtype of the input', async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
    const loss = e.reduceSum(e.square(e.cast(x, 'float64')));
    graph.outputs.push(...differentiate(graph, loss, [x], operators).values());
    graph.removeDead();
    const [gradient] = Object.values(await runGraph(graph, { x: TWO_ONES }));
    expect(gradient).toEqual({ dtype: 'float32', dims: [2], data: [2, 2] });
  });

  const TWO_ONES = { dtype: 'float32' as const, dims: [2], data: [1, 1] };
});

describe('Gather', () => {
  test('adds exactly where an index repeats thousands of times', async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const table = graph.addInput('table', { dtype: 'float32', shape: [2, 64] });
    const indices = graph.addInput('indices', { dtype: 'int64', shape: [symbol('n')] });
    const loss = e.reduceSum(e.gather(table, indices));
    const gradient = differentiate(graph, loss, [table], operators).get(table);
    graph.outputs.push(gradient ?? expect.fail('no gradient'));
    graph.removeDead();
    const session = await Session.create(graph);
    const n = 20_000;
    const feeds: Feeds = {
      table: { dtype: 'float32', dims: [2, 64], data: numbers([2, 64], 1) },
      indices: { dtype: 'int64', dims: [n], data: Array.from({ length: n }, (_, i) => i % 2) },
    };
    // Races show up now and then only.
    for (let run = 0; run < 10; run++) {
      const [result] = Object.values(await session.run(feeds));
      expect(new Set(result.data)).toEqual(new Set([n / 2]));
    }
    await session.release();
  });
});

describe('Dropout', () => {
  const dropout = (training: boolean | 'fed', ratio: number | 'fed' | undefined) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('n')] });
    const mode =
      training === 'fed'
        ? graph.addInput('training', { dtype: 'bool', shape: [] })
        : e.scalar(Number(training), 'bool');
    const share =
      ratio === 'fed'
        ? graph.addInput('ratio', { dtype: 'float32', shape: [] })
        : ratio === undefined
          ? undefined
          : e.scalar(ratio, x);
    const y = e.node('Dropout', [x, share, mode], { seed: 7 });
    const loss = e.reduceSum(y);
    const gradient = differentiate(graph, loss, [x], operators).get(x) ?? expect.fail('no gradient');
    graph.outputs.push(y, gradient);
    graph.removeDead();
    return { graph, y, gradient };
  };
  const n = 1000;
  const x = { dtype: 'float32' as const, dims: [n], data: new Array<number>(n).fill(1) };

  test.each([
    ['constant mode and ratio', true, 0.25, {}, 0.25],
    ['constant mode, default ratio', true, undefined, {}, 0.5],
    ['fed mode and ratio', 'fed', 'fed', { training: true, ratio: 0.25 }, 0.25],
  ] as const)(
    'in training the cotangent goes through the mask that was drawn: %s',
    async (_, training, ratio, fed, share) => {
      const { graph, y, gradient } = dropout(training, ratio);
      const results = await runGraph(graph, { x, ...scalars(fed) });
      // With x = 1 the output is the scaled mask, and so is the gradient of the sum.
      expect(results[gradient.name].data).toEqual(results[y.name].data);
      const dropped = results[y.name].data.filter((value) => value === 0).length / n;
      // Four standard deviations of the mean of 1000 draws.
      expect(Math.abs(dropped - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / n));
    },
  );

  test.each([
    ['constant', false, 0.25, {}],
    ['fed', 'fed', 0.25, { training: false }],
  ] as const)('outside training it passes everything: %s mode', async (_, training, ratio, fed) => {
    const { graph, gradient } = dropout(training, ratio);
    const results = await runGraph(graph, { x, ...scalars(fed) });
    expect(results[gradient.name].data).toEqual(x.data);
  });

  function scalars(fed: Readonly<Record<string, number | boolean>>): Feeds {
    return Object.fromEntries(
      Object.entries(fed).map(([name, value]) => [
        name,
        { dtype: typeof value === 'boolean' ? 'bool' : 'float32', dims: [], data: [Number(value)] },
      ]),
    );
  }
});
