import { float32, randomNumbers, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import type { AttributeRecord } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { lowerNodes } from '../passes/lower.js';
import type { Target } from '../target/target.js';
import { targets } from '../target/targets.js';
import { operators } from './index.js';

const ones = (count: number) => new Array<number>(count).fill(1);
const sizeOf = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

/** Runs MaxPool and its gradient for a cotangent of distinct powers of two, whose sums are exact and tell their terms. */
async function run(
  dims: readonly number[],
  data: readonly number[],
  attributes: AttributeRecord,
  target: Target = targets['ort-cpu'],
) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: dims });
  const [y, indices] = e.nodes('MaxPool', [x], attributes, 2);
  const dy = graph.addInput('dy', { dtype: 'float32', shape: y.shape });
  const gradient = differentiate(graph, e.reduceSum(e.mul(y, dy)), [x], operators).get(x);
  if (gradient === undefined) throw new Error('no gradient');
  graph.outputs.push(y, indices, gradient);
  lowerNodes(graph, operators, target);
  graph.removeDead();
  const outputDims = (y.shape ?? []).map(Number);
  const cotangent = Array.from({ length: sizeOf(outputDims) }, (_, i) => 2 ** (i % 20));
  const results = await runGraph(graph, { x: float32(dims, data), dy: float32(outputDims, cotangent) });
  return {
    y: results[y.name].data,
    indices: results[indices.name].data,
    cotangent,
    dx: results[gradient.name].data,
    ops: graph.nodes.map(({ op }) => op),
  };
}

interface Case {
  readonly name: string;
  readonly dims: readonly number[];
  readonly attributes: AttributeRecord;
}

const CASES: readonly Case[] = [
  { name: '1-D, side by side', dims: [2, 2, 8], attributes: { kernel_shape: [2], strides: [2] } },
  { name: '1-D, with elements left over', dims: [1, 2, 8], attributes: { kernel_shape: [2], strides: [3] } },
  { name: '1-D, overlapping', dims: [2, 2, 8], attributes: { kernel_shape: [3], strides: [2] } },
  { name: '1-D, padded and dilated', dims: [2, 2, 8], attributes: { kernel_shape: [3], dilations: [2], pads: [1, 2] } },
  { name: '2-D, side by side', dims: [2, 2, 4, 6], attributes: { kernel_shape: [2, 3], strides: [2, 3] } },
  { name: '2-D, overlapping', dims: [2, 2, 5, 5], attributes: { kernel_shape: [3, 3], strides: [2, 2] } },
  {
    name: '2-D, side by side on one axis, overlapping on the other',
    dims: [1, 2, 4, 5],
    attributes: { kernel_shape: [2, 2], strides: [2, 1] },
  },
  {
    name: '2-D, padded, beyond the padding',
    dims: [2, 1, 4, 4],
    attributes: { kernel_shape: [2, 2], strides: [2, 2], pads: [1, 1, 0, 0], ceil_mode: 1 },
  },
  {
    name: '2-D, padded automatically',
    dims: [1, 2, 5, 5],
    attributes: { kernel_shape: [2, 2], auto_pad: 'SAME_LOWER' },
  },
  { name: '3-D, side by side', dims: [2, 2, 2, 4, 2], attributes: { kernel_shape: [2, 2, 2], strides: [2, 2, 2] } },
  {
    name: '3-D, overlapping, dilated',
    dims: [2, 1, 3, 4, 3],
    attributes: { kernel_shape: [2, 2, 2], dilations: [1, 2, 1], pads: [0, 1, 0, 1, 1, 0] },
  },
];

/** Constant, of three levels, and like the output of a Relu: equal numbers in nearly every window. */
const INPUTS: [string, (x: number) => number][] = [
  ['a constant input', () => 0.5],
  ['three levels', (x) => Math.round(x)],
  ['zeros where a Relu cut', (x) => Math.max(x, 0)],
];

describe('the gradient of MaxPool, where several elements of a window are the maximum', () => {
  const all = CASES.flatMap((each) => INPUTS.map(([name, level]) => [`${each.name}, ${name}`, each, level] as const));

  describe.each(Object.values(targets))('as written for $name', (target) => {
    test.each(all)('goes to the first one, and no part of it is lost: %s', async (_, { dims, attributes }, level) => {
      const data = randomNumbers(sizeOf(dims), 1).map((x) => Math.fround(level(2 * x)));
      const { y, indices, cotangent, dx } = await run(dims, data, attributes, target);
      const expected = new Array<number>(data.length).fill(0);
      indices.forEach((place, i) => (expected[place] += cotangent[i]));
      expect(dx).toEqual(expected);
      const sum = (terms: readonly number[]) => terms.reduce((a, b) => a + b, 0);
      expect(sum(dx)).toBe(sum(cotangent));
      expect(indices.map((place) => data[place])).toEqual(y);
    });
  });

  test('Indices count through the whole tensor, and name the first of equal elements in row-major order', async () => {
    const { indices } = await run([2, 2, 2, 3], ones(24), { kernel_shape: [2, 2] });
    expect(indices).toEqual([0, 1, 6, 7, 12, 13, 18, 19]);
  });
});

describe('the gradient of MaxPool', () => {
  test('adds up where windows share their maximum', async () => {
    const { dx } = await run([1, 1, 5], [0, 1, 9, 1, 0], { kernel_shape: [3] });
    expect(dx).toEqual([0, 0, 1 + 2 + 4, 0, 0]);
  });

  test('is written by MaxUnpool where windows lie side by side, and added by ScatterElements elsewhere', async () => {
    const disjoint = await run([1, 1, 6], ones(6), { kernel_shape: [2], strides: [2] });
    expect(disjoint.ops).toContain('MaxUnpool');
    const overlapping = await run([1, 1, 6], ones(6), { kernel_shape: [3], strides: [2] });
    expect(overlapping.ops).toContain('ScatterElements');
    expect(overlapping.ops).not.toContain('MaxUnpool');
  });

  test.each(Object.values(targets))('is the same with Indices in column-major order: $name', async (target) => {
    const data = randomNumbers(2 * 4 * 6, 4);
    const attributes = { kernel_shape: [2, 3], strides: [2, 2] };
    const rows = await run([1, 2, 4, 6], data, attributes, target);
    const columns = await run([1, 2, 4, 6], data, { ...attributes, storage_order: 1 }, target);
    expect(columns.indices).not.toEqual(rows.indices);
    expect(columns.dx).toEqual(rows.dx);
  });
});
