import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emitterOf, float, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { dataFile, readData } from '@adakit/fixtures';
import { ema, type NamedTensors } from '@adakit/core';
import { sgd } from '@adakit/sgd';
import { readState, writeState } from '@adakit/state/node';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { crossEntropy, mse, TrainingSession } from './index.js';

/**
 * The batch normalization of x, which is [batch, 2]: in inference form, or in training form with its running statistics as
 * outputs of the model, the mean as it is and the variance squared.
 */
function normalizing(training = false): Uint8Array {
  const graph = new Graph('normalize');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const vector = (name: string, a: number, b: number) =>
    graph.addInitializer(name, OnnxTensor.of('float32', [2], Float32Array.of(a, b)));
  const inputs = [x, vector('scale', 1, 2), vector('bias', 0, 0), vector('mean', 0, 1), vector('variance', 1, 4)];
  const attributes = { momentum: float(0.75), training_mode: Number(training) };
  const [y, mean, variance] = e.nodes('BatchNormalization', inputs, attributes, training ? 3 : 1);
  const outputs = { y, ...(training && { mean_now: mean, squared: e.square(variance) }) };
  for (const [name, value] of Object.entries(outputs)) {
    graph.rename(value, name);
    graph.outputs.push(value);
  }
  return writeModel(modelFromGraph(graph));
}

const x = { data: Float32Array.of(1, 2, 3, 2, 5, 6, 7, 6), dims: [4, 2] };
const batch = { x, target: { data: new Float32Array(8), dims: [4, 2] } };
/** After one step: three quarters of what was there, and a quarter of the batch, with the means 4, 4 and variances 5, 4. */
const moved = { mean: [1, 1.75], variance: [2, 4] };

type Way = readonly [update: 'fused' | 'graph', runtime: 'node' | 'native'];

const create = ([update, runtime]: Way, model: string | Uint8Array = normalizing()) =>
  TrainingSession.create({ model, loss: mse({ output: 'y' }), optimizer: sgd({ lr: 0.1 }), update, runtime });

/** With the native runtime they stay on the device. */
const WAYS: readonly Way[] = [
  ['fused', 'node'],
  ['graph', 'node'],
  ['graph', 'native'],
];

/** Two batch normalizations of x, which is [batch, 2], one after the other, that begin alike. */
function twice(): Uint8Array {
  const graph = new Graph('normalize-twice');
  const e = emitterOf(graph);
  const vector = (name: string, value: number) =>
    graph.addInitializer(name, OnnxTensor.of('float32', [2], Float32Array.of(value, value)));
  let y = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  for (const name of ['first', 'second']) {
    const inputs = [vector(`${name}.scale`, 1), vector(`${name}.bias`, 0)];
    const statistics = [vector(`${name}.mean`, 0), vector(`${name}.variance`, 1)];
    y = e.node('BatchNormalization', [y, ...inputs, ...statistics], { momentum: float(0.75) });
  }
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

describe.each(WAYS)(
  'normalizations that begin with the same numbers, with the %s update in the runtime %s',
  (...way) => {
    it('keep statistics of their own', async () => {
      const session = await create(way, twice());
      await session.step(batch);
      await session.step(batch);
      const { statistics = {} } = await session.state();
      const mean = (name: string) => {
        const value = statistics[`${name}.mean`];
        return 'data' in value ? [...value.data] : [];
      };
      // The batch has a mean of 4; what comes out of a normalization has one of 0, and its bias takes tiny steps.
      expect(mean('first')).toEqual([1.75, 1.75]);
      for (const value of mean('second')) expect(Math.abs(value)).toBeLessThan(1e-2);
      await session.dispose();
    });
  },
);

/** The batch normalization of x·w, where x is [batch, 2]. */
function projected(): Uint8Array {
  const graph = new Graph('projected');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 2], Float32Array.of(1, 0.5, -0.25, 1)));
  const vector = (name: string, value: number) =>
    graph.addInitializer(name, OnnxTensor.of('float32', [2], Float32Array.of(value, value)));
  const inputs = [vector('scale', 1), vector('bias', 0), vector('mean', 0), vector('variance', 1)];
  graph.outputs.push(e.node('BatchNormalization', [e.matMul(x, w), ...inputs], { momentum: float(0.75) }));
  return writeModel(modelFromGraph(graph));
}

it.each(WAYS)(
  'statistics of averaged weights come of steps that move no weight, with the %s update in the runtime %s',
  async (update, runtime) => {
    const optimizer = ema(0.9, sgd({ lr: 0.5 }), { start: 1 });
    const session = await TrainingSession.create({ model: projected(), loss: mse(), optimizer, update, runtime });
    const target = { data: Float32Array.of(1, -1, 0, 2, 1, 1, -2, 0), dims: [4, 2] };
    for (let i = 0; i < 10; i++) await session.step({ x, target });
    const averaged = await session.weights();
    const trained = await session.weights('trained');
    const { parameters, ...rest } = await session.state();
    const entries = Object.entries(parameters).map(([name, kept]) => [name, { ...kept, value: averaged[name] }]);
    await session.load({ ...rest, parameters: Object.fromEntries(entries) as typeof parameters });
    session.setHyperparameters({ lr: 0 }, { group: 'all' });
    for (let i = 0; i < 60; i++) await session.step({ x, target });

    expect(await session.weights('trained')).toEqual(averaged);
    const { statistics = {} } = await session.state();
    const means = 'data' in statistics.mean ? [...statistics.mean.data].map(Number) : [];
    // Both columns of x have the mean 4, and so does a column of w four times its sum. Three quarters stay with every step.
    const expected = ({ w: { data } }: NamedTensors): number[] => [4 * (data[0] + data[2]), 4 * (data[1] + data[3])];
    const error = (weights: NamedTensors): number =>
      Math.max(...expected(weights).map((mean, i) => Math.abs(means[i] - mean)));
    expect(error(averaged)).toBeLessThan(10 * (0.75 ** 60 + 2 ** -22));
    expect(error(trained)).toBeGreaterThan(0.01);
    await session.dispose();
  },
);

describe.each(WAYS)('running statistics, with the %s update in the runtime %s', (...way) => {
  it('move with every step and are part of the state', async () => {
    const session = await create(way);
    expect(session.parameters).toEqual(['scale', 'bias']);
    await session.step(batch);
    const { statistics = {} } = await session.state();
    const values = Object.entries(statistics).map(([name, value]) => [name, 'data' in value ? [...value.data] : []]);
    expect(Object.fromEntries(values)).toEqual(moved);
    await session.dispose();
  });

  it('go on from a loaded state as if nothing had happened', async () => {
    const [first, second] = [await create(way), await create(way)];
    await first.step(batch);
    await second.load(await first.state());
    await first.step(batch);
    await second.step(batch);
    expect((await second.state()).statistics).toEqual((await first.state()).statistics);
    const without = { ...(await first.state()), statistics: {} };
    await expect(second.load(without)).rejects.toThrow("no running statistic 'mean'");
    const short = { dtype: 'float32', shape: [2], data: new Float32Array(1) } as const;
    const shortened = { ...without, statistics: { ...(await first.state()).statistics, mean: short } };
    await expect(second.load(shortened)).rejects.toThrow("no running statistic 'mean' of shape [2]");
    await first.dispose();
    await second.dispose();
  });

  it('that the model does not have stay in the state as they were loaded', async () => {
    const session = await create(way);
    const counted = { dtype: 'I64', shape: [], bytes: new Uint8Array(new BigInt64Array([7n]).buffer) } as const;
    const state = await session.state();
    const directory = await mkdtemp(join(tmpdir(), 'statistics-'));
    try {
      const [given, saved] = ['given', 'saved'].map((name) => join(directory, `${name}.safetensors`));
      await writeState(given, { ...state, statistics: { ...state.statistics, num_batches_tracked: counted } });
      await session.load(given);
      await session.step(batch);
      await session.save(saved);
      expect((await readState(saved)).statistics?.num_batches_tracked).toEqual(counted);
      expect((await session.state()).statistics?.num_batches_tracked).toEqual(counted);
      await session.load(state);
      expect((await session.state()).statistics).not.toHaveProperty('num_batches_tracked');
    } finally {
      await rm(directory, { recursive: true });
      await session.dispose();
    }
  });

  it('move as well where they are outputs of the model, which are those stored', async () => {
    const session = await create(way, normalizing(true));
    expect(session.parameters).toEqual(['scale', 'bias']);
    await session.step(batch);
    const { statistics = {} } = await session.state();
    const values = Object.entries(statistics).map(([name, value]) => [name, 'data' in value ? [...value.data] : []]);
    expect(Object.fromEntries(values)).toEqual(moved);
    const exported = await InferenceSession.create(await session.exportModel());
    const { y, mean_now: mean, squared } = await exported.run({ x: new Tensor('float32', x.data, x.dims) });
    expect([mean.data, squared.data].map((data) => [...(data as Float32Array)])).toEqual([moved.mean, [4, 16]]);
    for (const outputs of [await session.predict({ x }), (await session.evaluate(batch)).outputs]) {
      expect(outputs.y.data).toEqual(y.data);
      expect(outputs.mean_now.data).toEqual(mean.data);
      expect(outputs.squared.data).toEqual(squared.data);
    }
    await exported.release();
    await session.dispose();
  });

  it('stay, and are used, where they are frozen, outputs of the model or not', async () => {
    const [update, runtime] = way;
    const losses = [];
    for (const model of [normalizing(), normalizing(true)]) {
      const options = { model, loss: mse({ output: 'y' }), optimizer: sgd({ lr: 0.1 }), update, runtime };
      const session = await TrainingSession.create({ ...options, freeze: ['mean', 'variance'] });
      losses.push((await session.step(batch)).loss);
      expect((await session.state()).statistics).toBeUndefined();
      await session.dispose();
    }
    // y = x for the first column, and x - 1 for the second.
    expect(losses[0]).toBeCloseTo((1 + 9 + 25 + 49 + 1 + 1 + 25 + 25) / 8, 3);
    expect(losses[1]).toBe(losses[0]);
  });

  it('are what they were after a step that is not finite', async () => {
    const session = await create(way);
    await session.step(batch);
    const bad = { ...batch, x: { ...x, data: x.data.with(0, NaN) } };
    await expect(session.step(bad)).rejects.toMatchObject({ code: 'non-finite' });
    const { statistics = {} } = await session.state();
    const values = Object.entries(statistics).map(([name, value]) => [name, 'data' in value ? [...value.data] : []]);
    expect(Object.fromEntries(values)).toEqual(moved);
    await session.dispose();
  });

  it('are what evaluation, prediction and the exported model use', async () => {
    const session = await create(way);
    await session.step(batch);
    const bytes = await session.exportModel();
    const exported = await InferenceSession.create(bytes);
    const feeds = { x: new Tensor('float32', x.data, x.dims) };
    const expected = (await exported.run(feeds)).y.data;
    expect((await session.predict({ x })).y.data).toEqual(expected);
    expect((await session.evaluate(batch)).outputs.y.data).toEqual(expected);
    const [scale, bias] = ['scale', 'bias'].map(async (name) => (await session.state()).parameters[name].value.data);
    const byHand = ((1 - moved.mean[0]) / Math.sqrt(moved.variance[0] + 1e-5)) * (await scale)[0] + (await bias)[0];
    expect(expected[0]).toBeCloseTo(byHand, 5);
    await exported.release();
    await session.dispose();
  });
});

/** `weight-standardization.json`: loss and gradients are those of PyTorch in float64. */
interface Reference {
  readonly inputs: { readonly x: readonly (readonly number[])[] };
  readonly value: number;
  readonly 'gradient of w': readonly (readonly (readonly number[])[])[];
  readonly 'gradient of s': readonly number[];
}

describe.each([
  ['in training form', 'weight-standardization'],
  ['in inference form, with statistics that are computed', 'weight-standardization-inference'],
])('a normalization of weights %s', (_, name) => {
  const reference = readData('quirks/weight-standardization.json') as Reference;
  const x = { data: Float32Array.from(reference.inputs.x.flat()), dims: [2, 4] };
  const batch = { x, target: { data: new Float32Array(6), dims: [2, 3] } };
  const create = () =>
    TrainingSession.create({ model: dataFile(`quirks/${name}.onnx`), loss: mse(), optimizer: sgd({ lr: 1 }) });

  it('has the gradients of PyTorch: its statistics depend on the weights, and are no state', async () => {
    const session = await create();
    const before = (await session.state()).parameters;
    expect((await session.step(batch)).loss).toBeCloseTo(reference.value, 5);
    const { parameters: after, statistics } = await session.state();
    expect(statistics).toBeUndefined();
    const expected = { w: reference['gradient of w'].flat(2), s: reference['gradient of s'] };
    for (const [parameter, gradient] of Object.entries(expected)) {
      // Five decimals are what float32 leaves of differences of weights up to 2.
      gradient.forEach((each, i) => {
        expect(before[parameter].value.data[i] - after[parameter].value.data[i]).toBeCloseTo(each, 5);
      });
    }
    await session.dispose();
  });

  it('computes in the exported model what it computes here', async () => {
    const session = await create();
    await session.step(batch);
    const exported = await InferenceSession.create(await session.exportModel());
    const { out } = await exported.run({ x: new Tensor('float32', x.data, x.dims) });
    const expected = (await session.predict({ x })).out.data as Float32Array;
    expected.forEach((each, i) => {
      expect((out.data as Float32Array)[i]).toBeCloseTo(each, 4);
    });
    await exported.release();
    await session.dispose();
  });
});

it('a model that was exported for training comes out in inference form', async () => {
  const session = await TrainingSession.create({
    model: dataFile('quirks/training-form.onnx'),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.01 }),
  });
  const images = { data: Float32Array.from({ length: 4 * 36 }, (_, i) => 3 + Math.sin(i * i)), dims: [4, 1, 6, 6] };
  await session.step({ x: images, labels: { data: BigInt64Array.of(0n, 1n, 2n, 1n), dims: [4] } });
  const expected = (await session.predict({ x: images })).y.data as Float32Array;
  const exported = await InferenceSession.create(await session.exportModel());
  const { y } = await exported.run({ x: new Tensor('float32', images.data, images.dims) });
  expected.forEach((each, i) => {
    expect((y.data as Float32Array)[i]).toBeCloseTo(each, 4);
  });
  await exported.release();
  await session.dispose();
});
