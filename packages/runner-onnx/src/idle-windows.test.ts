import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { expect, it } from 'vitest';
import { mse, TrainingSession } from './index.js';

interface Pool {
  readonly op: 'AveragePool' | 'MaxPool';
  readonly dims: readonly number[];
  readonly attributes?: Readonly<Record<string, readonly number[]>>;
  /** Of 1, 2, 3, … */
  readonly pooledOnce: readonly number[];
}

/** x·w, pooled with `ceil_mode`, by windows of two with padding of one to each side unless attributes say otherwise. */
function pooled({ op, dims, attributes }: Pool): Uint8Array {
  const graph = new Graph('pooled');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 1, ...dims] });
  const w = graph.addInitializer('w', Tensor.of('float32', [1], Float32Array.of(2)));
  const axes = dims.map(() => 2);
  const byTwo = { kernel_shape: axes, strides: axes, pads: [...dims, ...dims].map(() => 1) };
  const y = e.node(op, [e.mul(x, w)], { ...(attributes ?? byTwo), ceil_mode: 1 });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

it.each<Pool>([
  // A third window would begin in the padding.
  { op: 'AveragePool', dims: [3], pooledOnce: [1, 2.5] },
  { op: 'MaxPool', dims: [3], pooledOnce: [1, 3] },
  // The second axis, of 4 elements, has a third window, which reaches beyond nothing.
  { op: 'AveragePool', dims: [3, 4], pooledOnce: [1, 2.5, 4, 7, 8.5, 10] },
  { op: 'MaxPool', dims: [3, 4], pooledOnce: [1, 3, 4, 9, 11, 12] },
  // The first axis, of windows of three, needs padding of two for its second window: as much as kernels have elements.
  {
    op: 'MaxPool',
    dims: [4, 2],
    attributes: { kernel_shape: [2, 1], strides: [3, 2], dilations: [2, 1] },
    pooledOnce: [5, 7],
  },
])('$op of $dims trains though a window is left out', async (pool) => {
  const { dims, pooledOnce } = pool;
  const size = dims.reduce((a, b) => a * b, 1);
  const session = await TrainingSession.create({
    model: pooled(pool),
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
