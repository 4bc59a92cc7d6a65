import { adam } from '@adakit/adam';
import { linear, lossScaling, type Optimizer } from '@adakit/core';
import { emitterOf, float, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { afterEach, describe, expect, it } from 'vitest';
import { mse, outputLoss, TrainingSession, type Batch, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

async function create(
  options: Pick<TrainingSessionOptions, 'model' | 'loss' | 'optimizer'> & Partial<TrainingSessionOptions>,
) {
  const session = await TrainingSession.create(options);
  sessions.push(session);
  return session;
}

const vector = (...values: number[]) => OnnxTensor.of('float32', [values.length], Float32Array.from(values));

/** The sum of ‖x·W‖ over samples, plus b: at a sample of zeros the root has no derivative, though the loss is finite. */
function norms(): Uint8Array {
  const graph = new Graph('norms');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('n'), 2] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4)));
  const b = graph.addInitializer('b', vector(0.5, -0.5));
  const lengths = e.reduceSum(e.sqrt(e.reduceSum(e.square(e.matMul(x, w)), [1])));
  graph.outputs.push(e.add(lengths, e.reduceSum(e.add(e.reduceSum(x, [0]), b))));
  return writeModel(modelFromGraph(graph));
}
const good = { x: { data: Float32Array.of(1, 1, 2, -1), dims: [2, 2] } };
const withZeros = { x: { data: Float32Array.of(1, 1, 0, 0), dims: [2, 2] } };

/** The batch normalization of x, which is [batch, 2]. */
function normalizing(): Uint8Array {
  const graph = new Graph('normalize');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const constants = { scale: [1, 2], bias: [0, 0], mean: [0, 1], variance: [1, 4] };
  const inputs = Object.entries(constants).map(([name, values]) => graph.addInitializer(name, vector(...values)));
  graph.outputs.push(e.node('BatchNormalization', [x, ...inputs], { momentum: float(0.75) }));
  return writeModel(modelFromGraph(graph));
}
const normalized = (first: number): Batch => ({
  x: { data: Float32Array.of(first, 2, 3, 2, 5, 6, 7, 6), dims: [4, 2] },
  target: { data: new Float32Array(8), dims: [4, 2] },
});

describe.each([
  ['with the fused update', { update: 'fused' }],
  ['with the update in the graph', { update: 'graph' }],
  ['with the update in the graph and the state on the host', { update: 'graph', runtime: 'node' }],
] as const)('a step that is refused, %s,', (_, how) => {
  const loss = outputLoss();

  it('for a gradient that is not finite names its parameter, and training goes on as if it had not been', async () => {
    const [session, undisturbed] = [
      await create({ model: norms(), loss, optimizer: adam(), ...how }),
      await create({ model: norms(), loss, optimizer: adam(), ...how }),
    ];
    await session.step(good);
    await undisturbed.step(good);
    const refused = session.step(withZeros);
    await expect(refused).rejects.toMatchObject({ code: 'non-finite' });
    await expect(refused).rejects.toThrow('the gradients of "w" are not finite at step 2; nothing has been updated');
    expect(await session.state()).toEqual(await undisturbed.state());
    expect(await session.step(good)).toEqual(await undisturbed.step(good));
    expect(await session.state()).toEqual(await undisturbed.state());
  });

  it('is skipped instead where the session is told so', async () => {
    const session = await create({ model: norms(), loss, optimizer: adam(), ...how, nonFinite: 'skip' });
    await session.step(good);
    const before = await session.state();
    const { loss: value, ...report } = await session.step(withZeros);
    expect(report).toEqual({ outcome: 'skipped', step: 1, outputs: {} });
    expect(value).toBeGreaterThan(0);
    expect(await session.state()).toEqual({ ...before, skipped: 1 });
    expect(session.skipped).toBe(1);
    expect(await session.step(good)).toMatchObject({ outcome: 'taken', step: 2 });
  });

  it('lowers the scale of the loss where it is scaled', async () => {
    const optimizer = lossScaling(sgd({ lr: 0.1 }), { initialScale: 2 ** 127, backoff: 2 ** -120 });
    const [session, plain] = [
      await create({ model: norms(), loss, optimizer, ...how }),
      await create({ model: norms(), loss, optimizer: sgd({ lr: 0.1 }), ...how }),
    ];
    // Gradients of about 8 overflow with it.
    const large = { x: { data: good.x.data.map((value) => 8 * value), dims: [2, 2] } };
    expect(await session.step(large)).toMatchObject({ outcome: 'skipped', step: 0 });
    expect((await session.state()).lossScale).toEqual({ scale: 2 ** 7, good: 0 });
    // Powers of two scale and unscale without rounding, and the loss is reported as it is.
    expect(await session.step(good)).toEqual(await plain.step(good));
    expect((await session.state()).parameters.w.value).toEqual((await plain.state()).parameters.w.value);
  });

  const refusals: readonly [
    string,
    { readonly optimizer: Optimizer; readonly batch: Batch; readonly message: string },
  ][] = [
    [
      'for a loss that is not finite',
      { optimizer: sgd({ lr: 0.1 }), batch: normalized(Infinity), message: 'the loss is NaN' },
    ],
    [
      'for a schedule that leaves the range',
      {
        // β₁ is 0.9 · 1 and 0.9 · 1.2.
        optimizer: adam({ beta1: 0.9 }).withSchedules({ beta1: linear(1, 1.2, 1) }),
        batch: normalized(1),
        message: 'adam at step 2, by its schedule: beta1',
      },
    ],
  ];
  it.each(refusals)('%s leaves running statistics as they are', async (_, { optimizer, batch, message }) => {
    const session = await create({ model: normalizing(), loss: mse(), optimizer, ...how });
    await session.step(normalized(1));
    const before = await session.state();
    await expect(session.step(batch)).rejects.toThrow(message);
    expect(await session.state()).toEqual(before);
  });

  it('and skipped leaves running statistics as they are', async () => {
    const optimizer = sgd({ lr: 0.1 });
    const session = await create({ model: normalizing(), loss: mse(), optimizer, ...how, nonFinite: 'skip' });
    await session.step(normalized(1));
    const before = await session.state();
    expect(await session.step(normalized(Infinity))).toMatchObject({ outcome: 'skipped' });
    expect(await session.state()).toEqual({ ...before, skipped: 1 });
  });

  it('for a batch without samples says so, and momentum moves nothing', async () => {
    const session = await create({ model: norms(), loss, optimizer: sgd({ lr: 0.1, momentum: 0.9 }), ...how });
    await session.step(good);
    const before = await session.state();
    const empty = session.step({ x: { data: new Float32Array(0), dims: [0, 2] } });
    await expect(empty).rejects.toMatchObject({ code: 'empty-batch' });
    await expect(empty).rejects.toThrow("the batch is empty: 'x' has shape [0, 2]");
    expect(await session.state()).toEqual(before);
  });
});

it('needs a scaled loss to scale back', async () => {
  const options = { model: norms(), loss: outputLoss(), optimizer: sgd({ lr: 0.1 }), nonFinite: 'scaleBack' } as const;
  await expect(create(options)).rejects.toThrow("nonFinite: 'scaleBack' needs lossScaling() around the optimizer");
});
