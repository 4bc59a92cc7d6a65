import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { expect, it } from 'vitest';
import { mse, TrainingSession } from './index.js';

/** x·w, pooled by windows of two with padding of one to each side: of 3 elements, a third window would begin in the padding. */
function pooled(op: 'AveragePool' | 'MaxPool', dims: readonly number[]): Uint8Array {
  const graph = new Graph('pooled');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 1, ...dims] });
  const w = graph.addInitializer('w', Tensor.of('float32', [1], Float32Array.of(2)));
  const axes = dims.map(() => 2);
  const y = e.node(op, [e.mul(x, w)], {
    kernel_shape: axes,
    strides: axes,
    pads: [...dims, ...dims].map(() => 1),
    ceil_mode: 1,
  });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

// The second axis, of 4 elements, has a third window, which reaches beyond nothing.
it.each([
  ['AveragePool', [3], [1, 2.5]],
  ['MaxPool', [3], [1, 3]],
  ['AveragePool', [3, 4], [1, 2.5, 4, 7, 8.5, 10]],
  ['MaxPool', [3, 4], [1, 3, 4, 9, 11, 12]],
] as const)('%s of %j trains though a window is left out', async (op, dims, pooledOnce) => {
  const size = dims.reduce<number>((a, b) => a * b, 1);
  const session = await TrainingSession.create({
    model: pooled(op, dims),
    loss: mse(),
    train: 'w',
    optimizer: sgd({ lr: 1 }),
    session: { intraOpNumThreads: 1 },
  });
  const x = { data: Float32Array.from({ length: size }, (_, i) => i + 1), dims: [1, 1, ...dims] };
  const { y } = await session.predict({ x });
  expect([...(y.data as Float32Array)]).toEqual(pooledOnce.map((value) => 2 * value));
  const { loss } = await session.step({ x, target: { data: new Float32Array(y.data.length), dims: y.dims } });
  const mean = pooledOnce.reduce((sum, value) => sum + value ** 2, 0) / pooledOnce.length;
  expect(loss).toBeCloseTo(4 * mean, 4);
  // The loss is w²·mean.
  const { parameters } = await session.state();
  expect(parameters.w.value.data[0]).toBeCloseTo(2 - 4 * mean, 4);
  await session.dispose();
});
