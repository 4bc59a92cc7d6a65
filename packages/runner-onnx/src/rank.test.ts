import { galore } from '@adakit/galore';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { afterEach, expect, it } from 'vitest';
import { crossEntropy, TrainingSession } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

const start = Float32Array.from({ length: 12 }, (_, i) => Math.fround(Math.cos(3 * i)));

/** logits = x·W with W of shape [4, 3]. */
function model(): Uint8Array {
  const graph = new Graph('linear');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 4] });
  const w = graph.addInitializer('w', Tensor.of('float32', [4, 3], start));
  graph.outputs.push(emitterOf(graph).matMul(x, w));
  return writeModel(modelFromGraph(graph));
}

async function session(rank: number): Promise<TrainingSession> {
  const optimizer = galore({ lr: 0.1, rank, every: 3 });
  const made = await TrainingSession.create({ model: model(), loss: crossEntropy(), optimizer });
  sessions.push(made);
  return made;
}

const batch = (step: number) => ({
  x: { data: Float32Array.from({ length: 12 }, (_, i) => Math.fround(Math.sin(7.1 * i + step))), dims: [3, 4] },
  labels: { data: BigInt64Array.of(0n, 1n, 2n), dims: [3] },
});

it('slots of a rank in a training session are those of a state that is loaded, whatever the rank was before', async () => {
  const [saved, loaded] = [await session(2), await session(1)];
  const shapes = async (of: TrainingSession) => {
    const { expAvg, projector } = (await of.state()).parameters.w.slots;
    return [expAvg.shape, projector.shape];
  };
  for (let step = 0; step < 2; step++) await saved.step(batch(step));
  await loaded.step(batch(9));
  expect(await shapes(loaded)).toEqual([
    [4, 1],
    [3, 1],
  ]);
  await loaded.load(await saved.state());
  for (let step = 2; step < 5; step++) for (const each of [saved, loaded]) await each.step(batch(step));
  expect(await shapes(loaded)).toEqual([
    [4, 2],
    [3, 2],
  ]);
  const [one, other] = [await saved.state(), await loaded.state()];
  expect(other.parameters).toEqual(one.parameters);
});
