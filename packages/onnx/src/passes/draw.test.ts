import { float32, runGraph, Session } from '@adakit/onnx-reference';
import { describe, expect, it } from 'vitest';
import { float } from '../graph/attribute.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { mse } from '../loss/regression.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { gradientsGraph } from '../training/graphs.js';
import { feedDraws } from './draw.js';

/** A graph of x, [batch, 3], in training form. */
function drawing(body: (e: Emitter, x: Value, graph: Graph) => Value) {
  const graph = new Graph('draw');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const output = body(emitterOf(graph), x, graph);
  graph.rename(output, 'y');
  graph.outputs.push(output);
  return graph;
}

const yes = (e: Emitter) => e.constant(Tensor.of('bool', [], Uint8Array.of(1)));
const x = float32([2, 3], [0.5, 1, 0.25, -2, 3, 0]);
const drawn = float32([2, 3], [0, 0.5, 0.25, 0.75, 0.5, 0.125]);

describe('what a node makes of numbers that are fed', () => {
  it.each<[string, (e: Emitter, x: Value) => Value, object, number[]]>([
    [
      'Dropout multiplies by them',
      (e, x) => e.node('Dropout', [x, e.scalar(0.2, 'float32'), yes(e)]),
      { distribution: 'dropout', rate: expect.closeTo(0.2, 7) as number },
      [0, 0.5, 0.0625, -1.5, 1.5, 0],
    ],
    [
      'Dropout drops half where it does not say',
      (e, x) => e.node('Dropout', [x, undefined, yes(e)]),
      { distribution: 'dropout', rate: 0.5 },
      [0, 0.5, 0.0625, -1.5, 1.5, 0],
    ],
    [
      'the mask of Dropout is where they are not 0',
      (e, x) => e.cast(e.nodes('Dropout', [x, undefined, yes(e)], {}, 2)[1], 'float32'),
      { distribution: 'dropout', rate: 0.5 },
      [0, 1, 1, 1, 1, 1],
    ],
    [
      'RandomNormalLike scales and shifts them',
      (e, x) => e.node('RandomNormalLike', [x], { mean: float(1), scale: float(2) }),
      { distribution: 'normal' },
      [1, 2, 1.5, 2.5, 2, 1.25],
    ],
    [
      'RandomUniformLike stretches them between its ends',
      (e, x) => e.node('RandomUniformLike', [x], { low: float(-1), high: float(3) }),
      { distribution: 'uniform' },
      [-1, 1, 0, 2, 1, -0.5],
    ],
    [
      'RandomNormal has the standard ones',
      (e) => e.node('RandomNormal', [], { shape: [2, 3] }),
      { distribution: 'normal' },
      drawn.data as number[],
    ],
    [
      'RandomUniform is between 0 and 1',
      (e) => e.node('RandomUniform', [], { shape: [2, 3] }),
      { distribution: 'uniform' },
      drawn.data as number[],
    ],
    [
      'Bernoulli is 1 where they are less than the probability',
      (e, x) => e.node('Bernoulli', [x]),
      { distribution: 'uniform' },
      [1, 1, 0, 0, 1, 0],
    ],
  ])('%s', async (_, body, draw, expected) => {
    const graph = drawing(body);
    const { inputs, inside } = feedDraws(graph);
    expect(inside).toEqual([]);
    expect(inputs.map((input) => input.draw)).toEqual([draw]);
    const { y } = await runGraph(graph, { x, [inputs[0].name]: drawn });
    expect(y.dims).toEqual([2, 3]);
    expect(y.data).toEqual(expected);
  });

  it('a rate that only a run tells is compared with them', async () => {
    const graph = drawing((e, x, g) =>
      e.node('Dropout', [x, g.addInput('rate', { dtype: 'float32', shape: [] }), yes(e)]),
    );
    expect(feedDraws(graph).inputs.map(({ draw }) => draw)).toEqual([{ distribution: 'uniform' }]);
    const { y } = await runGraph(graph, { x, y_random: drawn, rate: float32([], [0.5]) });
    expect(y.data).toEqual([0, 2, 0, -4, 6, 0]);
  });
});

describe('nothing is fed', () => {
  it.each<[string, (e: Emitter, x: Value) => Value]>([
    ['to a dropout in inference', (e, x) => e.node('Dropout', [x])],
    ['where nothing is dropped', (e, x) => e.node('Dropout', [x, e.scalar(0, 'float32'), yes(e)])],
  ])('%s', (_, body) => {
    expect(feedDraws(drawing(body))).toEqual({ inputs: [], inside: [] });
  });

  it('of a shape that only a run tells; the node is named', () => {
    const graph = drawing((e, x) => e.node('RandomNormalLike', [e.node('NonZero', [x])], { dtype: 1 }));
    graph.nodes[graph.nodes.length - 1].name = 'noise';
    expect(feedDraws(graph)).toEqual({ inputs: [], inside: [expect.stringContaining('noise') as string] });
  });
});

it('the backward pass uses the numbers of the forward pass', async () => {
  const graph = drawing((e, x, g) => {
    const w = g.addInitializer('w', Tensor.filled('float32', [3], 1));
    const noise = e.node('RandomNormalLike', [x]);
    return e.node('Dropout', [e.mul(x, e.mul(w, noise))]);
  });
  const made = gradientsGraph(parseModel(writeModel(modelFromGraph(graph))), {
    loss: mse(),
    train: 'w',
    feedRandom: true,
  });
  const [noise, factor] = made.random.inputs.map(({ name }) => name);
  expect(made.random.inputs.map(({ draw }) => draw.distribution)).toEqual(['normal', 'dropout']);
  const session = await Session.fromBytes(writeModel(made.model));
  const kept = float32([2, 3], [2, 0, 2, 0, 2, 2]);
  const results = await session.run({
    x,
    [noise]: drawn,
    [factor]: kept,
    [made.targets[0].name]: float32([2, 3], new Array<number>(6).fill(0)),
    w: float32([3], [1, 1, 1]),
  });
  await session.release();
  // loss = Σ (x · noise · kept · w)² / 6
  const squares = [0, 1, 2, 3, 4, 5].map((i) => (x.data[i] * drawn.data[i] * kept.data[i]) ** 2);
  expect(results[made.loss].data[0]).toBeCloseTo(squares.reduce((a, b) => a + b) / 6, 6);
  expect(results[made.gradients.w].data).toEqual(
    [0, 1, 2].map((j) => expect.closeTo((squares[j] + squares[j + 3]) / 3, 6) as number),
  );
});
