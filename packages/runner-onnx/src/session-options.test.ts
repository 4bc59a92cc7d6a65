import {
  accumulate,
  clipByGlobalNorm,
  ema,
  groups,
  milestones,
  reduceOnPlateau,
  sam,
  type Optimizer,
} from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, describe, expect, it } from 'vitest';
import { mse, outputLoss, TrainingSession, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

/** y = x·W + b from two features; y is the loss where it is an average. */
function model(averaged: boolean): Uint8Array {
  const graph = new Graph('linear');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 1], Float32Array.of(1, -2)));
  const b = graph.addInitializer('b', OnnxTensor.of('float32', [1], Float32Array.of(0.5)));
  const product = e.add(e.matMul(x, w), b);
  const y = averaged ? e.node('ReduceMean', [product], { keepdims: 0 }) : product;
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

async function create(
  optimizer: Optimizer,
  options: Partial<TrainingSessionOptions> & { readonly averaged?: boolean } = {},
): Promise<TrainingSession> {
  const { averaged = true, ...others } = options;
  const loss = averaged ? outputLoss() : mse();
  const session = await TrainingSession.create({ model: model(averaged), loss, optimizer, ...others });
  sessions.push(session);
  return session;
}

/** The gradient of the mean of y is the mean of x, here (2, 4), and 1 for b, wherever the weights are. */
const batch = { x: { data: Float32Array.of(1, 3, 3, 5), dims: [2, 2] } };
const weightsOf = async (session: TrainingSession) => {
  const { w, b } = (await session.state()).parameters;
  return [...w.value.data, ...b.value.data];
};

describe.each(['fused', 'graph'] as const)('with the %s update', (update) => {
  it('a schedule applies from the first step on, and at every step its own value', async () => {
    const session = await create(sgd({ lr: 0.5 }).withSchedules({ lr: milestones([1, 3], 0.5) }), { update });
    const moves = [];
    for (let i = 0, before = 1; i < 5; i++) {
      await session.step(batch);
      const [now] = await weightsOf(session);
      moves.push(before - now);
      before = now;
    }
    // The rate times a gradient of 2.
    expect(moves).toEqual([1, 0.5, 0.5, 0.25, 0.25]);
  });

  it('a change of hyperparameters keeps its place among the steps, for the group it is for', async () => {
    const optimizer = groups(
      [{ name: 'biases', match: { role: 'bias' }, hyperparameters: { lr: 1 } }],
      sgd({ lr: 0.5 }),
    );
    const session = await create(optimizer, { update });
    const first = session.step(batch);
    session.setHyperparameters({ lr: 2 });
    session.setHyperparameters({ lr: 4 }, { group: 'biases' });
    const second = session.step(batch);
    expect(session.optimizer.hyperparameters.lr).toBe(2);
    await first;
    await second;
    expect(await weightsOf(session)).toEqual([1 - 1 - 4, -2 - 2 - 8, 0.5 - 1 - 4]);
    expect(() => {
      session.setHyperparameters({ lr: 1 }, { group: 'bias' });
    }).toThrow('there is no group "bias"; the groups are biases');
  });

  it('collected batches count by their samples', async () => {
    const part = (data: readonly number[]) => ({ x: { data: Float32Array.from(data), dims: [data.length / 2, 2] } });
    const [parts, whole] = [
      await create(accumulate(2, sgd({ lr: 0.5 })), { update }),
      await create(sgd({ lr: 0.5 }), { update }),
    ];
    expect(await parts.step(part([1, 3]))).toMatchObject({ outcome: 'collected', step: 0 });
    expect(await parts.step(part([3, 5, 5, 7, 7, 9]))).toMatchObject({ outcome: 'taken', step: 1 });
    await whole.step(part([1, 3, 3, 5, 5, 7, 7, 9]));
    expect(await weightsOf(parts)).toEqual(await weightsOf(whole));
    // Or as the caller says: here the first batch counts as often as the second.
    await parts.step(part([1, 3]), { samples: 3 });
    await parts.step(part([3, 5, 5, 7, 7, 9]));
    const mean = (1 + 5) / 2;
    expect((await weightsOf(parts))[0]).toBe(1 - 0.5 * 4 - 0.5 * mean);
  });

  it('a schedule on a plateau follows the metric that is reported', async () => {
    const optimizer = sgd({ lr: 0.5 }).withSchedules({ lr: reduceOnPlateau({ factor: 0.5, patience: 0 }) });
    const session = await create(optimizer, { update });
    session.reportMetric(1);
    await session.step(batch);
    session.reportMetric(2);
    await session.step(batch);
    expect((await weightsOf(session))[0]).toBe(1 - 1 - 0.5);
  });

  it('the norm that clipping finds is reported', async () => {
    const session = await create(clipByGlobalNorm(1, sgd({ lr: 0.5 })), { update });
    await session.step(batch);
    // Of (2, 4, 1), rounded to float32.
    expect((await session.globals())['clipByGlobalNorm.norm']).toBe(Math.fround(Math.sqrt(21)));
  });

  it('averaged weights are evaluated, predicted with and exported where there are some, unless told otherwise', async () => {
    const session = await create(ema(0.5, sgd({ lr: 0.5 })), { update, averaged: false });
    expect(session.views).toEqual(['trained', 'averaged']);
    const x = { data: Float32Array.of(1, 1), dims: [1, 2] };
    const target = { data: Float32Array.of(0.5), dims: [1, 1] };
    const start = await session.exportModel();
    await session.step({ x, target });
    // y is −0.5, so d/dy is −2 and every parameter moves by 1: the average by a half.
    const outputs = async (options?: { weights: string }) => [
      ...(await session.predict({ x }, options)).y.data,
      ...(await session.evaluate({ x, target }, options)).outputs.y.data,
      ...(await run(await session.exportModel(undefined, options), x)),
    ];
    expect(await outputs()).toEqual([1, 1, 1]);
    expect(await outputs({ weights: 'averaged' })).toEqual([1, 1, 1]);
    expect(await outputs({ weights: 'trained' })).toEqual([2.5, 2.5, 2.5]);
    expect(await run(start, x)).toEqual([-0.5]);
    await expect(session.predict({ x }, { weights: 'average' })).rejects.toThrow(
      'there are no weights "average"; this optimizer has trained, averaged',
    );
    // A state holds both.
    const { w } = (await session.state()).parameters;
    expect([[...w.value.data], [...w.slots['ema.average'].data]]).toEqual([
      [2, -1],
      [1.5, -1.5],
    ]);
  });

  it('the gradient is taken twice where the optimizer asks for it', async () => {
    const session = await create(sam(0.5, sgd({ lr: 0.25 })), { update, averaged: false });
    const x = { data: Float32Array.of(0, 0), dims: [1, 2] };
    const { loss } = await session.step({ x, target: { data: Float32Array.of(0), dims: [1, 1] } });
    // The loss is b², whose gradient is taken at 0.5 + 0.5.
    expect(loss).toBe(0.25);
    expect((await weightsOf(session))[2]).toBeCloseTo(0.5 - 0.25 * 2, 6);
  });
});

describe.each(['fused', 'graph'] as const)('a float64 model, with the %s update', (update) => {
  it('is trained in float64 and exported as it was', async () => {
    const graph = new Graph('double');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float64', shape: [symbol('batch'), 2] });
    const w = graph.addInitializer('w', OnnxTensor.of('float64', [2, 1], Float64Array.of(0.1, 0.2)));
    const y = e.reduceSum(e.matMul(x, w));
    graph.rename(y, 'y');
    graph.outputs.push(y);
    const session = await create(ema(0.5, sgd({ lr: 0.1 })), { model: writeModel(modelFromGraph(graph)), update });
    const feeds = { x: { data: Float64Array.of(0.3, 0.7), dims: [1, 2] } };
    await session.step(feeds);
    const { w: kept } = (await session.state()).parameters;
    expect(kept.value).toEqual({
      dtype: 'float64',
      shape: [2, 1],
      data: Float64Array.of(0.1 - 0.3 * 0.1, 0.2 - 0.7 * 0.1),
    });
    const [a, b] = kept.slots['ema.average'].data;
    expect((await session.evaluate(feeds)).loss).toBeCloseTo(0.3 * a + 0.7 * b, 15);
    const again = await create(sgd({ lr: 0.1 }), { model: await session.exportModel(), update });
    expect((await again.state()).parameters.w.value.data).toEqual(Float64Array.of(a, b));
  });
});

async function run(bytes: Uint8Array, { data, dims }: { data: Float32Array; dims: number[] }): Promise<number[]> {
  const session = await InferenceSession.create(bytes);
  const { y } = await session.run({ x: new Tensor('float32', data, dims) });
  await session.release();
  return [...(y.data as Float32Array)];
}

it('tells groups what parameters are to their layers', async () => {
  const session = await create(sgd({ lr: 0.1 }));
  expect(session.parameterSpecs).toEqual(
    [
      { name: 'w', shape: [2, 1], role: 'weight' },
      { name: 'b', shape: [1], role: 'bias' },
    ].map((spec) => expect.objectContaining(spec) as unknown),
  );
  await expect(
    create(groups([{ match: { role: 'norm' }, hyperparameters: { lr: 1 } }], sgd({ lr: 0.1 }))),
  ).rejects.toThrow('matches none of the 2 parameters');
});

it('predicts with the weights of now after every step and load', async () => {
  const session = await create(sgd({ lr: 0.5 }), { averaged: false });
  const x = { data: Float32Array.of(1, 1), dims: [1, 2] };
  const step = { x, target: { data: Float32Array.of(0.5), dims: [1, 1] } };
  const start = await session.state();
  const y = async () => (await session.predict({ x })).y.data[0];
  expect(await y()).toBe(-0.5);
  await session.step(step);
  expect(await y()).toBe(2.5);
  await session.load(start);
  expect(await y()).toBe(-0.5);
});
