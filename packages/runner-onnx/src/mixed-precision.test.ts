import { adam } from '@adakit/adam';
import { lossScaling, type Optimizer } from '@adakit/core';
import {
  emitterOf,
  Graph,
  initialParameters,
  modelFromGraph,
  readModel,
  symbol,
  Tensor,
  writeModel,
} from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { afterEach, describe, expect, it, test } from 'vitest';
import { outputLoss, TrainingSession, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

async function create(options: TrainingSessionOptions): Promise<TrainingSession> {
  const session = await TrainingSession.create(options);
  sessions.push(session);
  return session;
}

/** The mean of x·w, with x [batch, 2]. ONNX Runtime reshapes in float16 on the CPU, too, and multiplies in float32. */
function product(): Uint8Array {
  const graph = new Graph('product');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const w = graph.addInitializer('w', Tensor.of('float32', [2, 2], Float32Array.of(0.5, 0.25, 0.25, 0.5)));
  graph.outputs.push(e.node('ReduceMean', [e.reshape(e.matMul(x, w), [-1])], { keepdims: 0 }));
  return writeModel(modelFromGraph(graph));
}
const batch = { x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] } };

describe.each(['fused', 'graph'] as const)('the scale of the loss in float16, with the %s update', (update) => {
  const scaled = (optimizer: Optimizer) =>
    create({ model: product(), loss: outputLoss(), optimizer, precision: 'float16', update });

  it('is dynamic without a word', async () => {
    const session = await scaled(sgd({ lr: 1 }));
    await session.step(batch);
    expect((await session.state()).lossScale).toEqual({ scale: 65536, good: 1 });
  });

  it('halves at an overflow, whose step is skipped and counted, and grows again', async () => {
    const session = await scaled(lossScaling(sgd({ lr: 1e-9 }), { initialScale: 2 ** 19, interval: 2 }));
    const seen = [];
    for (let i = 0; i < 7; i++) {
      const { outcome } = await session.step(batch);
      seen.push([outcome, (await session.state()).lossScale?.scale]);
    }
    // The cotangent of each of four products is a quarter of the scale; float16 ends below 2¹⁶.
    expect(seen).toEqual([
      ['skipped', 2 ** 18],
      ['skipped', 2 ** 17],
      ['taken', 2 ** 17],
      ['taken', 2 ** 18],
      ['skipped', 2 ** 17],
      ['taken', 2 ** 17],
      ['taken', 2 ** 18],
    ]);
    expect(session.skipped).toBe(3);
    expect(session.stepCount).toBe(4);
  });

  it('is part of the state: a training that goes on is the same to the last bit', async () => {
    const scaling = () => lossScaling(adam(), { initialScale: 2 ** 19, interval: 2 });
    const [whole, before] = [await scaled(scaling()), await scaled(scaling())];
    for (let i = 0; i < 4; i++) expect(await whole.step(batch)).toEqual(await before.step(batch));
    const after = await scaled(scaling());
    await after.load(await before.state());
    for (let i = 0; i < 4; i++) expect(await after.step(batch)).toEqual(await whole.step(batch));
    expect(await after.state()).toEqual(await whole.state());
  });
});

it('keeps weights, and what is evaluated and exported, in float32', async () => {
  const optimizer = sgd({ lr: 2e-5 });
  const session = await create({ model: product(), loss: outputLoss(), optimizer, precision: 'float16' });
  expect((await session.step(batch)).loss).toBe(1.875);
  // Σ x/4 is 1 and 1.5. An update of 2·10⁻⁵ would be lost in a float16 of 0.5.
  const near = (rate: number) => [0.5, 0.25, 0.25, 0.5].map((w, i) => w - rate * (i < 2 ? 1 : 1.5));
  const trained = Float32Array.from(near(2e-5));
  const { loss } = await session.evaluate(batch);
  const sums = [trained[0] + trained[1], trained[2] + trained[3]];
  expect(loss).toBeCloseTo((4 * sums[0] + 6 * sums[1]) / 4, 6);
  const exported = await readModel(await session.exportModel());
  const { w } = initialParameters(exported, [{ name: 'w', dtype: 'float32', shape: [2, 2] }]);
  expect(w.data).toEqual(trained);
});

test('an optimizer that scales the loss already says how', async () => {
  const optimizer = lossScaling(sgd({ lr: 1 }), { initialScale: 8 });
  const session = await create({ model: product(), loss: outputLoss(), optimizer, precision: 'float16' });
  expect(session.optimizer.toConfig(session.parameterSpecs)).toEqual(optimizer.toConfig(session.parameterSpecs));
});

test('bfloat16 on the CPU is refused, with what there is instead', async () => {
  const options = { model: product(), loss: outputLoss(), optimizer: sgd({ lr: 1 }), precision: 'bfloat16' } as const;
  await expect(create(options)).rejects.toThrow(
    "no training in bfloat16 here: ONNX Runtime's CPU provider has no kernels for it; use float32 or float16, or cuda",
  );
});
