import { buildModel, contentsOf, float32, runModel } from '@adakit/onnx-reference';
import { expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { mse } from '../loss/regression.js';
import { gradientsGraph } from '../training/graphs.js';

/** A batch normalization as PyTorch exports it before training, all that is equal being one tensor, and a tied matrix. */
const model = buildModel(({ e, graph, input, table, output }) => {
  const identity = (name: string, value: Value): Value => {
    const copy = graph.addValue(name, { dtype: value.dtype, shape: value.shape });
    graph.addNode(new Node({ name: `Identity_${name}`, op: 'Identity', inputs: [value], outputs: [copy] }));
    return copy;
  };
  const ones = table('weight', [2], [1, 1]);
  const zeros = table('bias', [2], [0, 0]);
  const inputs = [input('x', 'float32', 2), ones, zeros, identity('mean', zeros), identity('var', ones)];
  const w = table('w', [2, 2], [1, 2, 3, 4]);
  output('y', e.matMul(e.matMul(e.node('BatchNormalization', inputs), w), identity('tied', w)));
});

test('equal constants that an exporter has merged are tensors of their own, tied weights are not', () => {
  expect(contentsOf(model)).toEqual({
    initializers: ['weight', 'bias', 'w', 'mean', 'var'],
    nodes: ['BatchNormalization', 'MatMul', 'Identity', 'MatMul'],
  });
});

test('and so the running statistics move while gains and biases are trained', async () => {
  const { parameters } = checkModel(model);
  expect(parameters.filter(({ selected }) => selected).map(({ name }) => name)).toEqual(['weight', 'bias', 'w']);
  expect(gradientsGraph(model, { loss: mse() }).statistics.map(({ name }) => name)).toEqual(['mean', 'var']);
  const { y } = await runModel(model, { x: float32([1, 2], [1, 0]) });
  // (1, 0) · w · w, but for the ε in the root.
  [7, 10].forEach((value, i) => {
    expect(y.data[i]).toBeCloseTo(value, 3);
  });
});
