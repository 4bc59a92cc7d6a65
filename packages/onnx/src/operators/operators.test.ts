import { readData } from '@adakit/fixtures';
import { type Numbers, relativeError, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { float, type AttributeValue } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { symbol, type Dim } from '../shape/dim.js';
import { evaluateDim } from '../shape/substitution.js';
import { decomposeNodes } from '../passes/lower.js';
import { operators } from './index.js';

/** One application of an operator with the gradients that PyTorch's autograd computes in float64. */
interface Case {
  readonly name: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>;
  /** Null where an optional input is left out. */
  readonly inputs: readonly (Numbers | null)[];
  readonly outputs: readonly Expected[];
  /** The loss is Σ output · cotangent; null for outputs that are not in it. */
  readonly cotangents: readonly (Numbers | null)[];
  /** Null for inputs that are not differentiated: integers, bounds, statistics. */
  readonly inputGradients: readonly (Expected | null)[];
}

type Expected = Pick<Numbers, 'dims' | 'data'>;

/** In the file, operators with one output have it under names of its own. */
type Recorded = Omit<Case, 'outputs' | 'cotangents'> &
  (
    | { readonly output: Expected; readonly outputGradient: Numbers }
    | { readonly outputs: readonly Expected[]; readonly outputGradients: readonly (Numbers | null)[] }
  );

const recorded = readData('operators.json') as { readonly cases: readonly Recorded[] };
const cases = recorded.cases.map((each): Case =>
  'output' in each
    ? { ...each, outputs: [each.output], cotangents: [each.outputGradient] }
    : { ...each, cotangents: each.outputGradients },
);

/** Operators of the file that the table does not hold. */
const MISSING: readonly string[] = [];

/** Cases in which a free first dimension leaves the rank of the result open, which is refused. */
const NEEDS_FIXED = ['Squeeze: every one'];

/** JSON does not tell 1 from 1.0. */
const FLOAT_ATTRIBUTES = new Set(['alpha', 'beta', 'epsilon', 'momentum']);

/**
 * Relative to the largest magnitude of the tensor compared. Every operation rounds by 6e-8 and the longest sums here
 * have some hundred terms of similar size, which stays below 1e-6; a wrong formula is off by far more than 1e-5.
 */
const TOLERANCE = 1e-5;

/**
 * Cases whose gradient is the difference of terms as large as the cotangent, which cancel to less than their own
 * rounding: the error is relative to the cotangent then. (A saturated softmax has y = 1 in float32, the gradient in
 * float64 is 1e-9, and PyTorch in float32 gives 0 as well.)
 */
const CANCELLING = ['Softmax: large logits'];

type ShapeOf = (dims: readonly number[], input: number) => readonly Dim[];

const asRecorded: ShapeOf = (dims) => dims;
const freeFirst: ShapeOf = (dims, input) => (input === 0 ? [symbol('batch'), ...dims.slice(1)] : dims);

const covered = cases.filter(({ op }) => operators.has(op));
const named = (list: readonly Case[]) => list.map((example) => [example.name, example] as const);

describe('gradients, against PyTorch autograd in float64', () => {
  test('every operator of the file is in the table, or listed here as missing', () => {
    const missing = new Set(cases.map(({ op }) => op).filter((op) => !operators.has(op)));
    expect([...missing].sort()).toEqual(MISSING);
  });

  test.each(named(covered))('%s', async (_, example) => {
    await check(example, asRecorded);
  });
});

describe('gradients with a free first dimension', () => {
  const free = covered.filter(({ name, inputs }) => inputs[0]?.dims.length !== 0 && !NEEDS_FIXED.includes(name));

  test.each(named(free))('%s', async (_, example) => {
    await check(example, freeFirst);
  });

  test.each(NEEDS_FIXED)('%s: refused', (name) => {
    const example = cases.find((each) => each.name === name) ?? expect.fail(`no case ${name}`);
    expect(() => build(example, freeFirst)).toThrow('depends on a free dimension');
  });
});

/** Runs forward and backward in stock ONNX Runtime, in float32, and compares values and shapes with the record. */
async function check(example: Case, shapeOf: ShapeOf): Promise<void> {
  const { graph, inputs, outputs, loss, feeds } = build(example, shapeOf);
  decomposeNodes(graph, operators);
  const wanted = inputs.filter((input): input is Value => input !== undefined && input.name in feeds);
  const gradients = differentiate(graph, loss, wanted, operators);
  graph.outputs.push(...new Set([...outputs, ...gradients.values()]));
  graph.removeDead();
  const results = await runGraph(graph, feeds);
  const terms = CANCELLING.includes(example.name) ? Math.max(...(example.cotangents[0]?.data ?? []).map(Math.abs)) : 0;
  const expectResult = (value: Value, { dims, data }: Expected, what: string) => {
    const actual = results[value.name];
    expect(actual.dims, what).toEqual(dims);
    const batch = example.inputs[0]?.dims[0] ?? 1;
    expect(
      value.shape?.map((dim) => evaluateDim(dim, new Map([['batch', batch]]))),
      what,
    ).toEqual(dims);
    expect(relativeError(actual.data, data, terms), what).toBeLessThan(TOLERANCE);
  };
  example.outputs.forEach((expected, i) => {
    expectResult(outputs[i], expected, `output ${i}`);
  });
  example.inputGradients.forEach((expected, i) => {
    if (expected === null) return;
    const input = inputs[i] ?? expect.fail(`input ${i} is left out`);
    expectResult(gradients.get(input) ?? expect.fail(`no gradient for input ${i}`), expected, `gradient of input ${i}`);
  });
}

/** The graph of one node and the loss. Differentiated inputs are fed; the others are constants, as in exported models. */
function build(example: Case, shapeOf: ShapeOf) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const feeds: Record<string, Numbers> = {};
  const inputs = example.inputs.map((numbers, i): Value | undefined => {
    if (numbers === null) return undefined;
    const { dtype, dims } = numbers;
    if (example.inputGradients[i] === null) return graph.addInitializer(`input${i}`, toTensor(numbers));
    feeds[`input${i}`] = numbers;
    return graph.addInput(`input${i}`, { dtype, shape: shapeOf(dims, i) });
  });
  const attributes = Object.entries(example.attributes).map(([name, value]): [string, AttributeValue] => [
    name,
    typeof value === 'number' && FLOAT_ATTRIBUTES.has(name) ? float(value) : value,
  ]);
  const outputs = e.nodes(example.op, inputs, Object.fromEntries(attributes), example.outputs.length);
  const terms = outputs.flatMap((output, i) => {
    const cotangent = example.cotangents[i];
    if (cotangent === null) return [];
    feeds[`cotangent${i}`] = cotangent;
    return [e.reduceSum(e.mul(output, graph.addInput(`cotangent${i}`, { dtype: 'float32', shape: output.shape })))];
  });
  return { graph, inputs, outputs, loss: terms.reduce((a, b) => e.add(a, b)), feeds };
}

function toTensor({ dtype, dims, data }: Numbers): Tensor {
  switch (dtype) {
    case 'float32':
      return Tensor.of(dtype, dims, Float32Array.from(data));
    case 'int64':
      return Tensor.of(dtype, dims, BigInt64Array.from(data, BigInt));
    case 'bool':
      return Tensor.of(dtype, dims, Uint8Array.from(data));
    default:
      return expect.fail(`no constants of ${dtype} in the file`);
  }
}
