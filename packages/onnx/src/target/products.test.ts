import { float32, randomNumbers, relativeError, runGraph } from '@adakit/onnx-reference';
import { expect, it } from 'vitest';
import { Graph } from '../graph/graph.js';
import { emitterOf } from '../inference/emitter-of.js';
import type { DType } from '../model/dtype.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { targets } from './targets.js';

interface Product {
  readonly dtype?: DType;
  /** Shapes of the factors, and how each is transposed before. */
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly permA?: readonly number[];
  readonly permB?: readonly number[];
}

function graphOf({ dtype = 'float32', a, b, permA, permB }: Product): Graph {
  const graph = new Graph('product');
  const e = emitterOf(graph);
  const factor = (name: string, shape: readonly number[], perm: readonly number[] | undefined) => {
    const value = graph.addInput(name, { dtype, shape });
    return perm === undefined ? value : e.node('Transpose', [value], { perm });
  };
  const product = e.matMul(factor('a', a, permA), factor('b', b, permB));
  graph.rename(product, 'y');
  graph.outputs.push(product);
  return graph;
}

const lowered = (product: Product): Graph => {
  const graph = graphOf(product);
  lowerNodes(graph, operators, targets['ort-cpu']);
  graph.removeDead();
  return graph;
};
const ops = (graph: Graph) => graph.nodes.map(({ op }) => op);

it.each<[string, Product]>([
  ['a matrix that is transposed first', { a: [3, 2], b: [3, 4], permA: [1, 0] }],
  ['a matrix that is transposed second', { a: [2, 3], b: [4, 3], permB: [1, 0] }],
  ['both', { a: [3, 2], b: [4, 3], permA: [1, 0], permB: [1, 0] }],
  ['stacks of matrices, over their last two axes', { a: [5, 2, 3], b: [5, 4, 3], permB: [0, 2, 1] }],
])('%s: is transposed in the product', async (_, product) => {
  const graph = lowered(product);
  expect(ops(graph)).toEqual(['FusedMatMul']);
  const drawn = (shape: readonly number[], seed: number) =>
    float32(
      [...shape],
      randomNumbers(
        shape.reduce((size, length) => size * length, 1),
        seed,
      ),
    );
  const feeds = { a: drawn(product.a, 1), b: drawn(product.b, 2) };
  const [expected, actual] = [await runGraph(graphOf(product), feeds), await runGraph(graph, feeds)];
  expect(actual.y.dims).toEqual(expected.y.dims);
  // Sums of three products, in whatever order: a few roundings of 2⁻²⁴.
  expect(relativeError(actual.y.data as number[], expected.y.data as number[])).toBeLessThan(2 ** -20);
});

it.each<[string, Product]>([
  ['other axes', { a: [2, 5, 3], b: [5, 3, 4], permA: [1, 0, 2] }],
  ['matrices in double precision', { dtype: 'float64', a: [2, 3], b: [4, 3], permB: [1, 0] }],
])('%s: are transposed before the product', (_, product) => {
  expect(ops(lowered(product))).toEqual(['Transpose', 'MatMul']);
});
