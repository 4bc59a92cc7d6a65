import { dataFile } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { crossEntropy } from '../loss/cross-entropy.js';
import { parseModel, readModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import type { TrainableOptions } from '../trainable/select.js';
import { gradientsGraph } from './graphs.js';

const model = await readModel(dataFile('mnist-cnn.onnx'));
const ops = (options: TrainableOptions, of = model) => {
  const { graph } = gradientsGraph(of, { loss: crossEntropy(), ...options }).model;
  return graph?.node.map(({ opType }) => opType) ?? [];
};

test('the backward pass does not visit what is frozen', () => {
  const forward = model.graph.node.map(({ opType }) => opType);
  const frozen = ops({ freeze: /^conv/ });
  // Beside the model itself: exactly what a model of the last layer alone would have.
  const graph = new Graph('head');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 784] });
  const weight = (name: string, ...dims: number[]) => graph.addInitializer(name, Tensor.filled('float32', dims, 0.5));
  graph.outputs.push(e.node('Gemm', [x, weight('w', 10, 784), weight('b', 10)], { transB: 1 }));
  const alone = ops({}, parseModel(writeModel(modelFromGraph(graph)))).slice(1);
  // Whose ends are executed in what order is another matter.
  expect([...frozen].sort()).toEqual([...forward, ...alone].sort());
  expect(frozen.length).toBeLessThan(ops({}).length / 1.5);
});

test('freezing by place and by name give the same graph', () => {
  const gemm = model.graph.node.find(({ opType }) => opType === 'Gemm')?.name ?? '';
  expect(ops({ freeze: { before: gemm } })).toEqual(ops({ freeze: /^conv/ }));
  expect(ops({ train: /^fc/ })).toEqual(ops({ freeze: /^conv/ }));
});
