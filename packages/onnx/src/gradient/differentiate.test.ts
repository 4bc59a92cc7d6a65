import {
  type Feeds,
  finiteDifferences,
  float64,
  randomNumbers,
  relativeError,
  runGraph,
  Session,
} from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import type { GradientContext } from '../entry/operator.js';
import { Exp } from '../operators/elementwise.js';
import { operators } from '../operators/index.js';
import { symbol, type Dim } from '../shape/dim.js';
import { differentiate } from './differentiate.js';

interface Sketch {
  readonly graph: Graph;
  readonly e: Emitter;
  readonly input: (name: string, shape: readonly Dim[]) => Value;
}

function sketch(): Sketch {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  return { graph, e, input: (name, shape) => graph.addInput(name, { dtype: 'float64', shape }) };
}

/** Builds a scalar loss twice: once to run forward, once with gradients appended, and compares with differences. */
async function checkGradients(
  build: (sketch: Sketch) => { loss: Value; wanted: Value[] },
  feeds: Feeds,
  tolerance: number,
): Promise<void> {
  const forward = sketch();
  const { loss } = build(forward);
  forward.graph.outputs.push(loss);
  const session = await Session.create(forward.graph);

  const backward = sketch();
  const target = build(backward);
  const gradients = differentiate(backward.graph, target.loss, target.wanted, operators);
  for (const value of target.wanted) {
    const gradient = gradients.get(value);
    if (gradient === undefined) throw new Error(`no gradient for ${value.name}`);
    backward.graph.rename(gradient, `d_${value.name}`);
    backward.graph.outputs.push(gradient);
  }
  backward.graph.removeDead();
  const results = await runGraph(backward.graph, feeds);
  for (const { name } of target.wanted) {
    const numeric = await finiteDifferences(session, feeds, name, loss.name);
    expect(results[`d_${name}`].dims).toEqual(feeds[name].dims);
    expect(relativeError(results[`d_${name}`].data, numeric), name).toBeLessThan(tolerance);
  }
  await session.release();
}

// Central differences in float64 are good to about 1e-9 here.
const TOLERANCE = 1e-7;

function mlp({ e, input }: Sketch) {
  const x = input('x', [symbol('batch'), 3]);
  const [w1, b1] = [input('w1', [3, 5]), input('b1', [5])];
  const [w2, b2] = [input('w2', [2, 5]), input('b2', [1, 2])];
  const target = input('target', [symbol('batch'), 2]);
  const hidden = e.node('Tanh', [e.add(e.matMul(x, w1), b1)]);
  const y = e.node('Gemm', [hidden, w2, b2], { transB: 1 });
  const loss = e.reduceSum(e.square(e.sub(y, target)));
  return { loss, wanted: [x, w1, b1, w2, b2] };
}

const mlpFeeds = (batch: number): Feeds => ({
  x: float64([batch, 3], randomNumbers(batch * 3, 1)),
  w1: float64([3, 5], randomNumbers(15, 2)),
  b1: float64([5], randomNumbers(5, 3)),
  w2: float64([2, 5], randomNumbers(10, 4)),
  b2: float64([1, 2], randomNumbers(2, 5)),
  target: float64([batch, 2], randomNumbers(batch * 2, 6)),
});

describe('differentiate', () => {
  test.each([1, 4])('gives the gradients of a perceptron with a free batch, run with %i samples', async (batch) => {
    await checkGradients(mlp, mlpFeeds(batch), TOLERANCE);
  });

  test('adds up the gradients of a value that is used several times, by one node and by many', async () => {
    await checkGradients(
      ({ e, input }) => {
        const x = input('x', [2, 2]);
        const y = e.mul(x, x);
        const z = e.add(e.matMul(y, x), e.exp(x));
        return { loss: e.reduceSum(e.mul(z, y)), wanted: [x] };
      },
      { x: float64([2, 2], randomNumbers(4, 7)) },
      TOLERANCE,
    );
  });

  test('differentiates with respect to an inner value', async () => {
    const { graph, e, input } = sketch();
    const inner = e.exp(input('x', [2]));
    const loss = e.reduceSum(e.square(inner));
    const gradient = differentiate(graph, loss, [inner], operators).get(inner);
    if (gradient === undefined) throw new Error('no gradient');
    graph.outputs.push(gradient);
    const results = await runGraph(graph, { x: float64([2], [0, 1]) });
    expect(relativeError(results[gradient.name].data, [2, 2 * Math.E])).toBeLessThan(1e-15);
  });

  const loops: [string, Dim, Dim, number, number][] = [
    ['both free, both long', symbol('n'), symbol('m'), 3, 3],
    ['both free, the first stretched', symbol('n'), symbol('m'), 1, 3],
    ['both free, the second stretched', symbol('n'), symbol('m'), 3, 1],
    ['both free, both of length 1', symbol('n'), symbol('m'), 1, 1],
    ['one free and stretched', symbol('n'), 3, 1, 3],
    ['one free and not stretched', symbol('n'), 3, 3, 3],
    ['none free', 1, 3, 1, 3],
  ];
  test.each(loops)('sums over broadcast axes: %s', async (_, n, m, nLength, mLength) => {
    await checkGradients(
      ({ e, input }) => {
        const a = input('a', [n, 1, 2]);
        const b = input('b', [4, 1, m, 1, 1]);
        return { loss: e.reduceSum(e.square(e.mul(a, b))), wanted: [a, b] };
      },
      {
        a: float64([nLength, 1, 2], randomNumbers(nLength * 2, 8)),
        b: float64([4, 1, mLength, 1, 1], randomNumbers(4 * mLength, 9)),
      },
      TOLERANCE,
    );
  });

  test('leaves out values that the loss does not depend on', () => {
    const { graph, e, input } = sketch();
    const [a, b] = [input('a', [2]), input('b', [2])];
    const loss = e.reduceSum(a);
    const gradients = differentiate(graph, loss, [a, b], operators);
    expect([...gradients.keys()]).toEqual([a]);
  });

  test('visits only what lies between the wanted values and the loss', () => {
    const { graph, e, input } = sketch();
    const [x, w] = [input('x', [2]), input('w', [2])];
    const features = e.exp(e.exp(e.exp(x)));
    const loss = e.reduceSum(e.mul(features, w));
    const before = graph.nodes.length;
    differentiate(graph, loss, [w], operators);
    // Expand of the cotangent of the sum, and one Mul.
    expect(graph.nodes.slice(before).map(({ op }) => op)).toEqual(['Expand', 'Mul']);
  });

  test('takes linear time and no recursion in deep graphs', () => {
    const { graph, e, input } = sketch();
    const x = input('x', [2]);
    let y = x;
    for (let i = 0; i < 20_000; i++) y = e.node('Sigmoid', [y]);
    const gradients = differentiate(graph, e.reduceSum(y), [x], operators);
    expect(gradients.has(x)).toBe(true);
  });

  test('reports every operator in the way at once, by node name', () => {
    const { graph, e, input } = sketch();
    const x = input('x', [2]);
    const table = new Map(operators).set('Exp', { ...Exp, gradient: 'none' });
    const y = e.add(
      e.named('left', () => e.exp(x)),
      e.named('right', () => e.exp(e.neg(x))),
    );
    const attempt = () => differentiate(graph, e.reduceSum(y), [x], table);
    expect(attempt).toThrow(OnnxError);
    expect(attempt).toThrow(/Exp node 'left\/Exp'[^]*Exp node 'right\/Exp'/);
  });

  test.each<[string, (ctx: GradientContext) => Value, RegExp]>([
    [
      'of another shape',
      ({ e, grad }) => e.unsqueeze(grad(), [0]),
      /gave float32 \[1, 2\] for the input 'x', which is float32 \[2\]/,
    ],
    [
      'of another dtype',
      ({ e, grad }) => e.cast(grad(), 'float64'),
      /gave float64 \[2\] for the input 'x', which is float32 \[2\]/,
    ],
  ])('refuses a rule that gives a cotangent %s, naming the node', (_, rule, message) => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
    const table = new Map(operators).set('Exp', { ...Exp, gradient: (ctx) => [rule(ctx)] });
    const y = e.exp(x);
    const attempt = () => differentiate(graph, e.reduceSum(y), [x], table);
    expect(attempt).toThrow(/the gradient rule of Exp node 'Exp'/);
    expect(attempt).toThrow(message);
  });

  test('a parameter is no constant, whatever its first value is', async () => {
    const { graph, e } = sketch();
    const scalar = (name: string, value: number) => graph.addInitializer(name, Tensor.scalar('float64', value));
    const [x, scale, power] = [scalar('x', 3), scalar('scale', 1), scalar('power', 2)];
    const loss = e.mul(e.pow(x, power), scale);
    const gradients = differentiate(graph, loss, [x, scale, power], operators);
    for (const value of [x, scale, power]) {
      graph.initializerToInput(value);
      graph.outputs.push(gradients.get(value) ?? value);
    }
    graph.removeDead();
    const results = await runGraph(graph, { x: float64([], [2]), scale: float64([], [5]), power: float64([], [3]) });
    const [dx, dScale, dPower] = graph.outputs.map(({ name }) => results[name].data[0]);
    expect([dx, dScale]).toEqual([60, 8]);
    expect(dPower).toBeCloseTo(40 * Math.LN2, 12);
  });

  test('lets nothing flow through shapes and integers', () => {
    const { graph, e, input } = sketch();
    const x = input('x', [symbol('n')]);
    const count = e.node('Cast', [e.node('Size', [x])], { to: 11 });
    const loss = e.div(e.reduceSum(x), count);
    expect(differentiate(graph, loss, [x], operators).size).toBe(1);
  });

  test('refuses a loss that is no single float', () => {
    const { graph, e, input } = sketch();
    const x = input('x', [2, 3]);
    expect(() => differentiate(graph, x, [x], operators)).toThrow("the loss 'x' has shape [2, 3]");
    const count = e.node('Size', [x]);
    expect(() => differentiate(graph, count, [x], operators)).toThrow('only float values');
    const constant = graph.addInitializer('labels', Tensor.int64([1]));
    expect(() => differentiate(graph, e.reduceSum(x), [constant], operators)).toThrow("'labels' is int64");
  });
});
