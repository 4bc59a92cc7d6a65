import { create } from '@bufbuild/protobuf';
import { buildModel, contentsOf, float32, runModel } from '@adakit/onnx-reference';
import { StringStringEntryProtoSchema } from 'onnx-buf';
import { expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { mse } from '../loss/regression.js';
import { gradientsGraph } from '../training/graphs.js';
import { parseModel, writeModel } from './model.js';

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

/** Two normalizations with optimization, of which one tensor is left, and one that is called twice, as the dynamo exporter writes them. */
const optimized = (declared: readonly string[]) => {
  const { proto } = buildModel(({ e, input, table, output }) => {
    const gain = table('norm1.weight', [2], [1, 1]);
    const shift = table('norm1.bias', [2], [0, 0]);
    const own = table('norm1.scale', [2], [1, 2]);
    const scopes = ['norm1', 'norm2', 'norm1@1'];
    const normalize = (x: Value, i: number) =>
      e.named(scopes[i], () => e.mul(e.node('LayerNormalization', [x, gain, shift]), own));
    output(
      'y',
      scopes.reduce((x, _, i) => normalize(x, i), input('x', 'float32', 2)),
    );
  });
  const graph = proto.graph ?? expect.fail('no graph');
  const property = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
  for (const node of graph.node) {
    const [module] = node.name.split('/');
    node.metadataProps.push(property('pkg.torch.onnx.name_scopes', `['', '${module}', '${node.name}']`));
  }
  const lines = declared.map((name) => `p_${name}: PARAMETER target='${name}'`).join('\n');
  graph.metadataProps.push(property('pkg.torch.export.ExportedProgram.graph_signature', lines));
  return parseModel(writeModel(proto));
};

test('what a module of its own had is its own again where the file says so, and called again it stays one', () => {
  const [weights, biases, scales] = ['weight', 'bias', 'scale'].map((role) =>
    ['norm1', 'norm2'].map((m) => `${m}.${role}`),
  );
  const { graph } = optimized([...weights, ...biases, ...scales]);
  const inputs = graph.node.filter(({ opType }) => opType === 'LayerNormalization').map(({ input }) => input.slice(1));
  expect(inputs).toEqual([
    ['norm1.weight', 'norm1.bias'],
    ['norm2.weight', 'norm2.bias'],
    ['norm1.weight', 'norm1.bias'],
  ]);
  // Numbers that differ are tied.
  expect(graph.initializer.map(({ name }) => name)).not.toContain('norm2.scale');
});

test('without a parameter of that name in the module it is tied', () => {
  const model = optimized(['norm1.weight', 'norm1.bias', 'norm1.scale', 'norm2.bias', 'unused.weight']);
  const { graph } = model;
  const names = graph.initializer.map(({ name }) => name);
  expect(names.toSorted()).toEqual(['norm1.bias', 'norm1.scale', 'norm1.weight', 'norm2.bias']);
  expect(checkModel(model).absent).toEqual(['unused.weight']);
});
