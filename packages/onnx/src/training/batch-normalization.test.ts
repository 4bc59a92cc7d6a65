import { float32, Session } from '@adakit/onnx-reference';
import { expect, test } from 'vitest';
import { float } from '../graph/attribute.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { mse } from '../loss/regression.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { evaluationGraph, gradientsGraph } from './graphs.js';

const vector = (...values: number[]) => Tensor.of('float32', [values.length], Float32Array.from(values));

/**
 * y = the batch normalization of x, or of that once more with the same statistics, or times the weights `head` with the
 * node `product`.
 */
function model(times = 1, head = false) {
  const graph = new Graph('normalize');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const inputs = [
    graph.addInitializer('scale', vector(1, 2)),
    graph.addInitializer('bias', vector(0.5, -1)),
    graph.addInitializer('mean', vector(0, 1)),
    graph.addInitializer('variance', vector(1, 4)),
  ];
  const apply = (value: typeof x) =>
    e.node('BatchNormalization', [value, ...inputs], { momentum: float(0.75), epsilon: float(1e-5) });
  const y = Array.from({ length: times }, () => apply).reduce((value, f, i) => f(i === 1 ? e.neg(value) : value), x);
  const identity = Tensor.of('float32', [2, 2], Float32Array.of(1, 0, 0, 1));
  graph.outputs.push(head ? e.matMul(y, graph.addInitializer('head', identity)) : y);
  if (head) graph.nodes[graph.nodes.length - 1].name = 'product';
  return parseModel(writeModel(modelFromGraph(graph)));
}

const loss = mse();
const x = float32([4, 2], [1, 2, 3, 2, 5, 6, 7, 6]);
const statistics = { mean: float32([2], [0, 1]), variance: float32([2], [1, 4]) };
const parameters = { scale: float32([2], [1, 2]), bias: float32([2], [0.5, -1]) };

test('in training, a batch normalization takes the statistics of the batch and moves the running ones', async () => {
  const graph = gradientsGraph(model(), { loss });
  expect(graph.parameters.map(({ name }) => name)).toEqual(['scale', 'bias']);
  expect(graph.statistics.map(({ name }) => name)).toEqual(['mean', 'variance']);
  const session = await Session.fromBytes(writeModel(graph.model));
  const target = { [graph.targets[0].name]: float32([4, 2], new Array<number>(8).fill(0)) };
  const results = await session.run({ x, ...target, ...parameters, ...statistics });
  await session.release();
  // The columns have the means 4 and 4 and the variances 5 and 4 (not the unbiased ones).
  const [mean, variance] = graph.statistics.map(({ output }) => results[output].data);
  expect(mean).toEqual([0.25 * 4, 0.75 + 0.25 * 4]);
  expect(variance).toEqual([0.75 + 0.25 * 5, 0.75 * 4 + 0.25 * 4]);
  // Standardized columns scaled by 1 and 2 and shifted by 0.5 and −1: the mean of the squares is (1 + 0.25 + 4 + 1) / 2.
  expect(results[graph.loss].data[0]).toBeCloseTo(3.125, 4);
  // d loss / d bias = 2 · mean over the batch of y, halved by the two columns.
  expect(results[graph.gradients.bias].data[0]).toBeCloseTo(0.5, 5);
  expect(results[graph.gradients.scale].data[1]).toBeCloseTo(2, 4);
});

test('outside training it takes the running ones, which are inputs', async () => {
  const graph = evaluationGraph(model(), { loss, parameters: ['scale', 'bias', 'mean', 'variance'] });
  const session = await Session.fromBytes(writeModel(graph.model));
  const target = { [graph.targets[0].name]: float32([4, 2], new Array<number>(8).fill(0)) };
  const results = await session.run({ x, ...target, ...parameters, ...statistics });
  await session.release();
  expect(results[graph.outputs[0]].data[2]).toBeCloseTo(3 + 0.5, 4);
  expect(results[graph.outputs[0]].data[1]).toBeCloseTo(((2 - 1) / 2) * 2 - 1, 4);
});

test('statistics that two normalizations share move twice', async () => {
  const graph = gradientsGraph(model(2), { loss });
  expect(graph.statistics.map(({ name }) => name)).toEqual(['mean', 'variance']);
  const session = await Session.fromBytes(writeModel(graph.model));
  const target = { [graph.targets[0].name]: float32([4, 2], new Array<number>(8).fill(0)) };
  const results = await session.run({ x, ...target, ...parameters, ...statistics });
  await session.release();
  // First the means (4, 4) of x, then those of −y, which are minus the bias.
  const mean = results[graph.statistics[0].output].data;
  expect(mean[0]).toBeCloseTo(0.75 * (0.25 * 4) + 0.25 * -0.5, 5);
  expect(mean[1]).toBeCloseTo(0.75 * 1.75 + 0.25 * 1, 5);
});

test.each([
  ['its running statistics are frozen', { freeze: ['mean', 'variance'] }, ['scale', 'bias', 'head']],
  ['one of them is', { freeze: /^mean/ }, ['scale', 'bias', 'head']],
  ['it is outside of what is trained', { train: 'head' }, ['head']],
  ['it comes before what is trained', { freeze: { before: 'product' } }, ['head']],
])('a normalization uses its running statistics in training when %s', async (_, options, trained) => {
  const graph = gradientsGraph(model(1, true), { loss, ...options });
  expect(graph.parameters.map(({ name }) => name)).toEqual(trained);
  expect(graph.statistics).toEqual([]);
  const session = await Session.fromBytes(writeModel(graph.model));
  const target = { [graph.targets[0].name]: float32([4, 2], new Array<number>(8).fill(0)) };
  const given = { ...parameters, head: float32([2, 2], [1, 0, 0, 1]) };
  const feeds = Object.entries(given).filter(([name]) => trained.includes(name));
  const results = await session.run({ x, ...target, ...Object.fromEntries(feeds) });
  await session.release();
  const columns = [0, 1].map((c) => x.data.filter((_, i) => i % 2 === c));
  const y = [columns[0].map((v) => v + 0.5), columns[1].map((v) => ((v - 1) / 2) * 2 - 1)];
  const expected = y.flat().reduce((sum, v) => sum + v * v, 0) / 8;
  expect(results[graph.loss].data[0]).toBeCloseTo(expected, 3);
});

test('a normalization whose scale and bias alone are frozen goes on with the statistics of the batch', () => {
  const graph = gradientsGraph(model(1, true), { loss, freeze: ['scale', 'bias'] });
  expect(graph.parameters.map(({ name }) => name)).toEqual(['head']);
  expect(graph.statistics.map(({ name }) => name)).toEqual(['mean', 'variance']);
});
