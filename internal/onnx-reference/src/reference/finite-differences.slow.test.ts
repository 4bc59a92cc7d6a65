import {
  differentiate,
  type Dim,
  emitterOf,
  evaluateDim,
  Graph,
  isDifferentiable,
  operators,
  lowerNodes,
  OPSET,
  symbol,
  type Target,
  targets,
  Tensor,
  type Value,
  withBlocks,
} from '@adakit/onnx';
import { decomposeNodes, executes, hasBlocks, hasRows, upgradeNodes, withFormulations } from '@adakit/onnx/internal';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { randomNumbers, relativeError } from '../testing/compare.js';
import { runGraph, type Feeds, type Numbers } from '../testing/session.js';
import { evaluate, kernels } from './evaluate.js';
import { EXAMPLES, type Example, type Input } from './examples.js';
import { sizeOf } from './tensor.js';

/**
 * Of float32 results, relative to the largest magnitude of the tensor compared. An operation rounds by 6e-8, and the
 * examples sum a few dozen terms of the same order, which stays below 1e-6 by experience; a wrong formula is off by far
 * more.
 */
const TOLERANCE = 1e-5;

/**
 * Length of the steps of central differences, in double precision. Their truncation error is STEP² f‴ / 6, a few 1e-8 where
 * the third derivatives are largest here; their rounding error 1e-16 / STEP = 1e-12. The examples keep further away from
 * kinks than this.
 */
const STEP = 1e-4;

/** No third derivative here is beyond 60. */
const TRUNCATION = 10 * STEP ** 2;

/**
 * Directions in which a gradient is compared, every one of which moves all elements: an element that is wrong shows in each,
 * and two that are wrong cannot make up for each other in all of them. Differences of every element would find no more, in
 * as many evaluations as there are elements.
 */
const DIRECTIONS = 3;

/** Examples of each operator; more where many attributes meet. */
const RUNS = 20;
const MORE_RUNS: Readonly<Record<string, number>> = { AveragePool: 80, Conv: 60, ConvTranspose: 40, MaxPool: 60 };

/** Operators that have their tests elsewhere, and why. */
const ELSEWHERE = new Map([
  ['Attention', 'long; written in terms of others'],
  ['Bernoulli', 'random'],
  ['Cast', 'the dtype is part of the gradient'],
  ['If', 'has bodies'],
  ['Loop', 'has a body'],
  ['Mod', 'the reference would jump with it'],
  ['RandomNormal', 'random'],
  ['RandomNormalLike', 'random'],
  ['RandomUniform', 'random'],
  ['RandomUniformLike', 'random'],
  ['RotaryEmbedding', 'long; written in terms of others'],
  ['Scan', 'has a body'],
  ['Scatter', 'becomes ScatterElements before anything runs'],
  ['adakit::CTCLoss', 'long; compared with PyTorch'],
  ['adakit::ChannelAffine', 'the gradient of BatchNormalization'],
  ['adakit::ConvInputGradient', 'the gradient of Conv'],
  ['adakit::ConvWeightGradient', 'the gradient of Conv'],
  ['adakit::GatherGradient', 'the gradient of Gather'],
  ['adakit::GatherNDGradient', 'the gradient of GatherND'],
  ['adakit::LinearRecurrence', 'the gradient of LSTM'],
  ['adakit::Mask', 'the gradient of Relu'],
  ['adakit::MaxPoolGradient', 'the gradient of MaxPool'],
  ['Upsample', 'becomes Resize before anything runs'],
  ['ConvInteger', 'compared with ONNX Runtime'],
  ['Compress', 'the length of its result is known at run time only'],
  ['DynamicQuantizeLinear', 'compared with ONNX Runtime'],
  ['Hardmax', 'compared with ONNX Runtime'],
  ['MatMulInteger', 'compared with ONNX Runtime'],
  ['NonMaxSuppression', 'integers'],
  ['QLinearConv', 'compared with ONNX Runtime'],
  ['QLinearMatMul', 'compared with ONNX Runtime'],
  ['QuantizeLinear', 'compared with ONNX Runtime'],
  ['SimplifiedLayerNormalization', 'RMSNormalization under another name'],
  ['com.microsoft::FusedConv', 'compared with ONNX Runtime'],
  ['com.microsoft::FusedGemm', 'compared with ONNX Runtime'],
  ['com.microsoft::FusedMatMul', 'compared with ONNX Runtime'],
  ['com.microsoft::MatMulBnb4', 'compared with ONNX Runtime'],
  ['com.microsoft::MatMulNBits', 'compared with ONNX Runtime'],
  ['com.microsoft::SkipLayerNormalization', 'compared with ONNX Runtime'],
  ['com.microsoft::SkipSimplifiedLayerNormalization', 'compared with ONNX Runtime'],
  ['ConcatFromSequence', 'taken apart before anything runs'],
  ['SequenceAt', 'taken apart before anything runs'],
  ['SequenceConstruct', 'taken apart before anything runs'],
  ['SequenceEmpty', 'taken apart before anything runs'],
  ['SequenceErase', 'taken apart before anything runs'],
  ['SequenceInsert', 'taken apart before anything runs'],
  ['SequenceLength', 'taken apart before anything runs'],
  ['SplitToSequence', 'taken apart before anything runs'],
  ['MelWeightMatrix', 'compared with ONNX Runtime'],
  ['RoiAlign', 'compared with ONNX Runtime'],
  ['Unique', 'compared with ONNX Runtime'],
  ['BlackmanWindow', 'compared with ONNX Runtime'],
  ['HammingWindow', 'compared with ONNX Runtime'],
  ['HannWindow', 'compared with ONNX Runtime'],
  ['com.microsoft::BiasGelu', 'Gelu of a sum'],
  ['com.microsoft::FastGelu', 'Gelu under another name'],
  ['com.microsoft::Gelu', 'Gelu under another name'],
  ['com.microsoft::QuickGelu', 'Swish under another name'],
]);

describe('results agree with the reference, gradients with its central differences', () => {
  test.each(Object.keys(EXAMPLES))('%s', async (op) => {
    await fc.assert(
      fc.asyncProperty(EXAMPLES[op], (example) => check(op, example)),
      { numRuns: MORE_RUNS[op] ?? RUNS },
    );
  });
});

/** Operators whose gradients, or that themselves, are written otherwise for some targets. */
const VARYING = [
  'AveragePool',
  'Conv',
  'ConvTranspose',
  'Gather',
  'GatherND',
  'GlobalAveragePool',
  'HardSigmoid',
  'LogSoftmax',
  'MatMul',
  'MaxPool',
  'ReduceMean',
  'ReduceSum',
  'Relu',
  'Shrink',
  'Sum',
  'ThresholdedRelu',
] as const;

/** Those whose gradients are convolutions. */
const CONVOLUTIONS = ['AveragePool', 'Conv', 'ConvTranspose', 'MaxPool'] as const;

const VARIANTS: readonly Target[] = [
  targets['ort-cuda'],
  targets['ort-webgpu'],
  targets.portable,
  // Each once; those of the tables of targets are in them.
  ...['columns', 'convolution', 'offsets', 'rows'].map((name) =>
    withFormulations(targets['ort-cpu'], {
      'adakit::ConvInputGradient': 'transposed',
      'adakit::ConvWeightGradient': name,
    }),
  ),
  {
    // Wherever they are possible, not only where they are the faster form.
    ...withFormulations(targets['ort-cpu'], {
      'adakit::ConvInputGradient': 'windows',
      'adakit::ConvWeightGradient': 'windows',
    }),
    partly: { ...targets['ort-cpu'].partly, Conv: (node) => !hasRows(node) },
  },
  {
    ...withFormulations(withBlocks(targets['ort-cpu']), {
      Conv: 'blocks',
      'adakit::ConvInputGradient': 'convolution',
      'adakit::ConvWeightGradient': 'products',
    }),
    partly: { ...targets['ort-cpu'].partly, Conv: (node) => !hasBlocks(node) },
  },
  withFormulations(targets['ort-cpu'], { 'adakit::ChannelAffine': 'normalization', 'adakit::Mask': 'product' }),
];

/** On the CPU, which executes what is written for others: the numbers are those of every formulation. */
describe.each(VARIANTS)('as written for $name', (target) => {
  const isOfConvolutions = target.name.includes('ConvWeightGradient');
  test.each(isOfConvolutions ? CONVOLUTIONS : VARYING)('%s', async (op) => {
    await fc.assert(
      fc.asyncProperty(EXAMPLES[op], (example) => check(op, example, target)),
      { numRuns: RUNS },
    );
  });
});

describe('the operator table', () => {
  test('has examples here of every differentiable operator, or a reason why not', () => {
    const differentiable = [...operators].flatMap(([key, { gradient }]) => (gradient === 'none' ? [] : [key]));
    expect(differentiable.filter((key) => !(key in EXAMPLES) && !ELSEWHERE.has(key))).toEqual([]);
  });

  test('is known to the reference evaluator as a whole, with the same exceptions', () => {
    // Of ONNX Runtime's own operators without a gradient only the shapes are known.
    const computed = [...operators].filter(([, { domain, gradient }]) => domain === undefined || gradient !== 'none');
    expect(computed.map(([key]) => key).filter((key) => !(key in kernels) && !ELSEWHERE.has(key))).toEqual([]);
  });

  test('has no examples of what is tested elsewhere', () => {
    expect(Object.keys(EXAMPLES).filter((op) => ELSEWHERE.has(op))).toEqual([]);
  });
});

/** Compares results, shapes and gradients of one application of an operator. */
async function check(op: string, example: Example, target: Target = targets['ort-cpu']): Promise<void> {
  const { graph, outputs, feeds, loss, variables, sizes } = build(op, example);
  // As models are read: pools are written so that ONNX Runtime infers their shapes as it computes them.
  graph.outputs.push(...outputs);
  upgradeNodes(graph, OPSET.target, operators);
  decomposeNodes(graph, operators, target);
  const gradients =
    loss === undefined || variables.length === 0
      ? new Map<Value, Value>()
      : differentiate(graph, loss, variables, operators);
  graph.outputs.splice(0, outputs.length, ...new Set([...outputs, ...gradients.values()]));
  lowerNodes(graph, operators, target);
  graph.removeDead();
  // But for what the example itself asks for: Indices of a MaxPool.
  const written = graph.nodes.filter(({ outputs: [first] }) => first === undefined || !outputs.includes(first));
  const left = written.filter((node) => !executes(target, node, operators.get(node.key)));
  expect(left.map(({ label }) => label)).toEqual([]);
  const results = await runGraph(graph, feeds);

  const given = Object.fromEntries((example.random ?? []).map((i) => [outputs[i].name, results[outputs[i].name]]));
  const forward = build(op, example);
  const values = evaluate(forward.graph, feeds, given);
  for (const output of outputs) {
    const [actual, expected] = [results[output.name], values.get(output.name) ?? expect.fail('not evaluated')];
    expect(actual.dtype).toBe(expected.dtype);
    expect(actual.dims).toEqual(expected.dims);
    expect(relativeError(actual.data, expected.data)).toBeLessThan(TOLERANCE);
    expect(output.dtype).toBe(expected.dtype);
    expect(
      output.shape?.map((dim) => evaluateDim(dim, sizes)),
      'inferred shape',
    ).toEqual(expected.dims);
  }

  if (loss === undefined) return;
  const lossAt = (changed: Feeds) => evaluate(forward.graph, changed, given).get(loss.name)?.data[0] ?? NaN;
  for (const variable of variables) {
    const { data, dims } = feeds[variable.name];
    const directions = directionsIn(data.length);
    const expected = directions.map((direction) => derivative(lossAt, feeds, variable.name, direction));
    const gradient = gradients.get(variable);
    if (gradient === undefined) {
      expect(expected, `no gradient of ${variable.name}`).toEqual(expected.map(() => 0));
      continue;
    }
    const actual = results[gradient.name];
    expect(actual.dims, `gradient of ${variable.name}`).toEqual(dims);
    // Errors of elements, relative to the largest, come in proportion into a derivative along a direction of length 1. Where
    // nothing is left but the truncation error, the gradient is 0, and errors are absolute.
    const largest = Math.max(...expected.map(Math.abs));
    const scale = largest > TRUNCATION ? Math.max(largest, ...actual.data.map(Math.abs)) : 1;
    const found = directions.map((direction) => actual.data.reduce((sum, g, i) => sum + g * direction[i], 0));
    const error = Math.max(...found.map((each, i) => Math.abs(each - expected[i]) / scale));
    expect(error, `gradient of ${variable.name}`).toBeLessThan(TOLERANCE);
  }
}

/** Directions of length 1, whose elements differ in size by at most a factor of 2; the axes where these are no more. */
function directionsIn(size: number): readonly (readonly number[])[] {
  if (size <= DIRECTIONS)
    return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => +(i === j)));
  return Array.from({ length: DIRECTIONS }, (_, seed) => {
    const drawn = randomNumbers(size, 2000 + seed).map((x) => (Math.sign(x) || 1) * (1 + Math.abs(x)));
    const length = Math.hypot(...drawn);
    return drawn.map((x) => x / length);
  });
}

/** The derivative along a direction by central differences. */
function derivative(f: (feeds: Feeds) => number, feeds: Feeds, name: string, direction: readonly number[]): number {
  const at = (step: number) =>
    f({ ...feeds, [name]: { ...feeds[name], data: feeds[name].data.map((x, i) => x + step * direction[i]) } });
  return (at(STEP) - at(-STEP)) / (2 * STEP);
}

interface Built {
  readonly graph: Graph;
  readonly outputs: readonly Value[];
  readonly feeds: Feeds;
  /** Σ output · weight over the float outputs, with fixed random weights; undefined when there is none. */
  readonly loss: Value | undefined;
  /** The inputs to be differentiated. */
  readonly variables: readonly Value[];
  /** What the free dimensions are in this example. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** The graph of one node and a loss. */
function build(op: string, example: Example): Built {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const feeds: Record<string, Numbers> = {};
  const sizes = new Map<string, number>();
  const variables: Value[] = [];
  const inputs = example.inputs.map((input, i) => {
    if (input === undefined) return undefined;
    const name = `input${i}`;
    const { dtype, dims } = input.numbers;
    if (input.role === 'constant') return graph.addInitializer(name, toTensor(input.numbers));
    feeds[name] = input.numbers;
    const value = graph.addInput(name, { dtype, shape: declare(name, input, sizes) });
    if (isDifferentiable(dtype) && operators.get(op)?.gradient !== 'none') variables.push(value);
    expect(sizeOf(dims)).toBe(input.numbers.data.length);
    return value;
  });
  const outputs = e.nodes(op, inputs, example.attributes, example.outputs ?? 1);
  const terms = outputs.flatMap((output, i) => {
    if (output.dtype !== 'float32') return [];
    const name = `weights${i}`;
    const dims = (output.shape ?? []).map((dim) => evaluateDim(dim, sizes) ?? expect.fail(`${String(dim)} is unknown`));
    feeds[name] = { dtype: 'float32', dims, data: randomNumbers(sizeOf(dims), 1000 + i).map(Math.fround) };
    return [e.reduceSum(e.mul(output, graph.addInput(name, { dtype: 'float32', shape: output.shape })))];
  });
  const loss = terms.length === 0 ? undefined : terms.reduce((a, b) => e.add(a, b));
  return { graph, outputs, feeds, loss, variables, sizes };
}

/** The shape of an input with its free dimensions as symbols, whose lengths are noted. */
function declare(name: string, { numbers: { dims }, free }: Input, sizes: Map<string, number>): Dim[] {
  return dims.map((dim, axis) => {
    if (!free.includes(axis)) return dim;
    const length = `${name}_${axis}`;
    sizes.set(length, dim);
    return symbol(length);
  });
}

function toTensor({ dtype, dims, data }: Numbers): Tensor {
  switch (dtype) {
    case 'float32':
      return Tensor.of(dtype, dims, Float32Array.from(data));
    case 'int64':
      return Tensor.of(dtype, dims, BigInt64Array.from(data, BigInt));
    case 'bool':
      return Tensor.of(dtype, dims, Uint8Array.from(data));
    case 'int32':
      return Tensor.of(dtype, dims, Int32Array.from(data));
    case 'float64':
      return expect.fail(`no examples with constants of ${dtype}`);
  }
}
