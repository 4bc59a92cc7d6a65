import { evaluate, float32, randomNumbers, relativeError, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { symbol } from '../shape/dim.js';
import { maskByProduct } from './mask.js';
import type { Target } from './target.js';
import { targets } from './targets.js';

/** A small classifier with everything in it whose gradient differs from target to target, and its gradient. */
function classifier(target: Target) {
  const graph = new Graph('classifier');
  const e = emitterOf(graph);
  const batch = symbol('batch');
  const x = graph.addInput('x', { dtype: 'float32', shape: [batch, 1, 8, 8] });
  const weight = (name: string, ...shape: number[]) => graph.addInput(name, { dtype: 'float32', shape });
  const weights = [weight('kernel', 4, 1, 3, 3), weight('deep', 4, 4, 3, 3), weight('matrix', 16, 3)];
  const [kernel, deep, matrix] = weights;
  const first = e.node('Relu', [e.node('Conv', [x, kernel], { pads: [1, 1, 1, 1] })]);
  const second = e.node('Conv', [e.node('MaxPool', [first], pool), deep], { pads: [1, 1, 1, 1], strides: [1, 1] });
  const flat = e.reshape(e.node('MaxPool', [second], pool), [0, -1]);
  const scores = e.node('LogSoftmax', [e.matMul(flat, matrix)], { axis: -1 });
  const loss = e.node('ReduceMean', [e.node('Sum', [scores, scores])], { keepdims: 0 });
  const gradients = differentiate(graph, loss, weights, operators);
  graph.outputs.push(loss, ...weights.map((value) => gradients.get(value) ?? expect.fail('no gradient')));
  lowerNodes(graph, operators, target);
  graph.removeDead();
  return graph;
}

const pool = { kernel_shape: [2, 2], strides: [2, 2] };

const uses = (graph: Graph, op: string) => graph.nodes.some((node) => node.op === op);
const hasIndices = ({ op, outputs }: Node) => op === 'MaxPool' && outputs[1] !== undefined;

describe('what is written for each target', () => {
  test('ort-cpu: MaxPool backwards by MaxUnpool', () => {
    expect(uses(classifier(targets['ort-cpu']), 'MaxUnpool')).toBe(true);
  });

  test('ort-cuda: no MaxUnpool', () => {
    const graph = classifier(targets['ort-cuda']);
    expect(uses(graph, 'MaxUnpool')).toBe(false);
    expect(uses(graph, 'ScatterElements')).toBe(true);
  });

  test('ort-webgpu: no Indices of MaxPool, nothing that is known to run on the CPU', () => {
    const graph = classifier(targets['ort-webgpu']);
    expect(graph.nodes.filter(hasIndices)).toEqual([]);
    expect(['LogSoftmax', 'Size', 'Sum', 'MaxUnpool'].filter((op) => uses(graph, op))).toEqual([]);
  });

  test('portable: no Indices, MaxUnpool, Size or float64', () => {
    const graph = classifier(targets.portable);
    expect(graph.nodes.filter(hasIndices)).toEqual([]);
    expect(['Size', 'MaxUnpool'].filter((op) => uses(graph, op))).toEqual([]);
    const values = graph.nodes.flatMap(({ outputs }) => outputs);
    expect(values.filter((value) => value?.dtype === 'float64')).toEqual([]);
  });

  test.each(Object.values(targets))('$name: the numbers of the others', async (target) => {
    const data = (dims: readonly number[], seed: number) =>
      float32(
        dims,
        randomNumbers(
          dims.reduce((a, b) => a * b, 1),
          seed,
        ),
      );
    const feeds = {
      x: data([2, 1, 8, 8], 1),
      kernel: data([4, 1, 3, 3], 2),
      deep: data([4, 4, 3, 3], 3),
      matrix: data([16, 3], 4),
    };
    const [expected, actual] = await Promise.all(
      [targets['ort-cpu'], target].map(async (each) => {
        const graph = classifier(each);
        const results = await runGraph(graph, feeds);
        return graph.outputs.map(({ name }) => results[name].data);
      }),
    );
    // The same sums in other orders: some hundred terms, each rounded by 6e-8.
    for (const [i, numbers] of actual.entries()) expect(relativeError(numbers, expected[i])).toBeLessThan(1e-5);
  });
});

test('a graph that has not been lowered is not written to a file', () => {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  graph.outputs.push(e.mask(e.greater(x, e.scalar(0, x)), x));
  expect(() => modelFromGraph(graph)).toThrow('adakit::Mask node');
});

describe('masks', () => {
  /** The gradient of Σ f(relu(x)) at x = (−1, 4), and the operators that it takes. */
  const relu = async (target: Target, f: (e: Emitter, y: Value) => Value) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
    const loss = e.reduceSum(f(e, e.node('Relu', [x])));
    graph.outputs.push(differentiate(graph, loss, [x], operators).get(x) ?? expect.fail('no gradient'));
    lowerNodes(graph, operators, target);
    graph.removeDead();
    const [{ data }] = Object.values(await runGraph(graph, { x: float32([2], [-1, 4]) }));
    return { data, selects: uses(graph, 'Where') };
  };
  const root = (e: Emitter, y: Value) => e.sqrt(y);

  test('select where the cotangent may be infinite: what does not count is not looked at, as in PyTorch', async () => {
    expect(await relu(targets['ort-cpu'], root)).toEqual({ data: [0, 0.25], selects: true });
  });

  test('multiply where it is finite as long as the loss is', async () => {
    const target = targets['ort-cpu'];
    expect(await relu(target, (e, y) => e.square(y))).toEqual({ data: [0, 8], selects: false });
    // A normalization that is written out.
    const deviation = (e: Emitter, y: Value) => e.sqrt(e.add(e.square(y), e.scalar(9, y)));
    expect(await relu(target, deviation)).toEqual({ data: [0, Math.fround(0.8)], selects: false });
  });

  test('as products always, 0 · ∞ is not a number', async () => {
    const target = { ...targets['ort-cpu'], formulations: { 'adakit::Mask': maskByProduct } };
    expect((await relu(target, root)).data).toEqual([NaN, 0.25]);
  });
});

describe('second derivatives go through what gradients are written in', () => {
  const cases: [string, readonly number[], (e: Emitter, x: Value) => Value][] = [
    ['Conv', [1, 1, 4, 4], (e, x) => e.node('Conv', [x, e.slice(x, { starts: [0], ends: [2], axes: [2] })])],
    ['MaxPool', [1, 1, 4, 4], (e, x) => e.square(e.node('MaxPool', [x], pool))],
    ['Gather', [3, 2], (e, x) => e.square(e.gather(x, e.int64([2, 0, 2])))],
    ['Relu', [6], (e, x) => e.square(e.node('Relu', [x]))],
  ];

  test.each(cases)('%s', (_, dims, build) => {
    const size = dims.reduce((a, b) => a * b, 1);
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: dims });
    const y = build(e, x);
    // A cubic in x, whose gradient is not linear in it.
    const loss = e.reduceSum(e.mul(e.square(y), y));
    const slope = differentiate(graph, loss, [x], operators).get(x) ?? expect.fail('no gradient');
    const penalty = e.reduceSum(e.square(slope));
    const second = differentiate(graph, penalty, [x], operators).get(x) ?? expect.fail('no second derivative');
    graph.outputs.push(penalty, second);
    // In the operators of the standard, which the reference evaluator knows.
    lowerNodes(graph, operators, targets.portable);
    graph.removeDead();
    const data = randomNumbers(size, 5);
    // In double precision, which ONNX Runtime does not convolve in.
    const at = (values: readonly number[], value: Value) =>
      evaluate(graph, { x: float32(dims, values) }).get(value.name)?.data ?? expect.fail('not evaluated');
    const step = 1e-5;
    const numeric = data.map((number, i) => {
      const [above, below] = [step, -step].map((d) => at(data.with(i, number + d), penalty)[0]);
      return (above - below) / (2 * step);
    });
    // Truncation step² = 1e-10 times the third derivatives of polynomials of degree 10, some hundred times their values.
    expect(relativeError(at(data, second), numeric)).toBeLessThan(1e-6);
  });
});
