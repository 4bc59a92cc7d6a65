import { wasmDevice } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, Tensor as OnnxTensor, type EmittedGraph } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { CPU, Session } from './execution-provider.js';

/** y = x·W + b with a weight of 2 MiB. */
function wideModel(): EmittedGraph['model'] {
  const graph = new Graph();
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, 1024] });
  const elements = Float32Array.from({ length: 1024 * 512 }, (_, i) => (i % 7) - 3);
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [1024, 512], elements));
  const b = graph.addInitializer('b', OnnxTensor.filled('float32', [512], 0.5));
  graph.outputs.push(e.add(e.matMul(x, w), b));
  return modelFromGraph(graph);
}

it('feeds constants beyond what may be embedded, with the same result', async () => {
  const model = wideModel();
  // Small integers, of which every order of adding up gives the same: the runtime has other kernels for constants.
  const x = new Tensor(
    'float32',
    Float32Array.from({ length: 1024 }, (_, i) => (i % 5) - 2),
    [1, 1024],
  );
  const [embedded, fed] = [await Session.create(model, CPU), await Session.create(model, CPU, {}, 2 ** 20)];
  expect([embedded.inputNames, fed.inputNames]).toEqual([['x'], ['x']]);
  const [a, b] = [await embedded.run({ x }), await fed.run({ x })];
  expect(Object.values(b)[0].data).toEqual(Object.values(a)[0].data);
  // The weight is read where it is, not copied: a change of it shows.
  const weight = model.graph?.initializer.find(({ name }) => name === 'w')?.rawData;
  new Float32Array(weight?.buffer ?? new ArrayBuffer(0)).fill(0);
  expect(Object.values(await fed.run({ x }))[0].data).toEqual(new Float32Array(512).fill(0.5));
  expect(Object.values(await embedded.run({ x }))[0].data).toEqual(Object.values(a)[0].data);
  await embedded.release();
  await fed.release();
});

it('tells when the memory of fed constants is gone', async () => {
  const model = wideModel();
  const device = wasmDevice();
  const [[buffer]] = device.allocate([[1024 * 512]]);
  const weight = model.graph?.initializer.find(({ name }) => name === 'w');
  if (weight === undefined) throw new Error('the model has a weight');
  const { buffer: memory } = buffer.memory;
  if (!(memory instanceof ArrayBuffer)) throw new Error('memory that is not shared is expected');
  weight.rawData = new Uint8Array(memory, buffer.address, weight.rawData.length);
  const session = await Session.create(model, CPU, {}, 2 ** 20);
  expect(session.isStale).toBe(false);
  device.allocate([[2 ** 24]]);
  expect(session.isStale).toBe(true);
  await session.release();
});
