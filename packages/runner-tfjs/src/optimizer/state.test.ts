import { defineOptimizer, learningRate, tensor32 } from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import '../device/fused/cpu.js';
import { tfjsOptimizer, type AdakitOptimizer } from '../index.js';
import { leaveNothing } from '../testing/leave-nothing.js';

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper: { lr } }) {
    const velocity = slots.velocity.mul(0.5).add(grad);
    return { param: param.sub(velocity.mul(lr)), slots: { velocity } };
  },
});

const { disposing } = leaveNothing();

interface Made {
  readonly model: tf.Sequential;
  readonly optimizer: AdakitOptimizer;
}

/** A model whose variables have new names whenever it is made again. */
function make(name: string, { normalized = false, rule = momentum() } = {}): Made {
  const optimizer = tfjsOptimizer(rule);
  const layers = [
    ...(normalized ? [tf.layers.batchNormalization({ name: `${name}_norm`, inputShape: [2] })] : []),
    tf.layers.dense({ units: 1, inputShape: [2], name }),
  ];
  const model = tf.sequential({ layers });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  disposing(optimizer);
  disposing(model);
  return { model, optimizer };
}

const x = (): tf.Tensor2D => tf.tensor2d([[1, 2], [3, 5], [0, 4]]); // prettier-ignore
const y = (): tf.Tensor2D => tf.tensor2d([[1], [0], [2]]);
const train = async ({ model }: Made, steps: number): Promise<unknown> => {
  const losses: unknown[] = [];
  for (let i = 0; i < steps; i++) losses.push(await model.trainOnBatch(x(), y()));
  return losses;
};
const evaluate = ({ model }: Made): number => (model.evaluate(x(), y()) as tf.Scalar).dataSync()[0];
const variablesOf = (weights: readonly { read(): tf.Tensor }[]): tf.Variable[] =>
  weights.map((weight) => weight.read()).filter((tensor): tensor is tf.Variable => tensor instanceof tf.Variable);

describe('a state', () => {
  it('is loaded into another model, whose variables are numbered', async () => {
    const [first, second] = [make('out'), make('out')];
    await train(first, 3);
    const state = await first.optimizer.state();
    expect(Object.keys(state.parameters)).toEqual(['out/kernel', 'out/bias']);
    await second.optimizer.load(state, variablesOf(second.model.trainableWeights));
    expect(await train(second, 2)).toEqual(await train(first, 2));
    // It keeps the names, so that groups apply and states fit as before.
    expect(Object.keys((await second.optimizer.state()).parameters)).toEqual(['out/kernel', 'out/bias']);
    expect(await second.optimizer.state()).toEqual(await first.optimizer.state());
  });

  it('finds the weights of a model as its layers hold them', async () => {
    const [first, second] = [make('held'), make('held')];
    await train(first, 2);
    await second.optimizer.load(await first.optimizer.state(), second.model.trainableWeights);
    expect(await train(second, 2)).toEqual(await train(first, 2));
  });

  it('finds layers without a name of their own beside such with one, and keeps the order of the state', async () => {
    const { batchNormalization, dense } = tf.layers;
    const made = (): Made => {
      const optimizer = tfjsOptimizer(momentum());
      const layers = [dense({ units: 2, inputShape: [2], name: 'front' }), batchNormalization(), dense({ units: 1 })];
      const model = tf.sequential({ layers });
      model.compile({ optimizer, loss: 'meanSquaredError' });
      disposing(optimizer);
      disposing(model);
      return { model, optimizer };
    };
    const [first, second] = [made(), made()];
    await train(first, 2);
    const state = await first.optimizer.state();
    await second.optimizer.load(state, second.model);
    const loaded = await second.optimizer.state();
    expect(loaded).toEqual(state);
    // Numbers of all parameters are added up in this order, which decides on their last bits.
    expect(Object.keys(loaded.parameters)).toEqual(Object.keys(state.parameters));
    expect(await train(second, 2)).toEqual(await train(first, 2));
  });

  it('leaves a doubt about which of such layers is which to its owner', async () => {
    const a = ['d_1/kernel', 'd_2/kernel'].map((name) => tf.variable(tf.zeros([2]), true, name));
    const first = tfjsOptimizer(momentum());
    disposing(first);
    first.minimize(() => tf.addN(a).square().sum(), false, a);
    const state = await first.state();
    for (const each of a) each.dispose();
    const b = ['d_2/kernel', 'd_3/kernel'].map((name) => tf.variable(tf.zeros([2]), true, name));
    await expect(first.load(state, b)).rejects.toThrow('a parameter "d_1/kernel" that this run lacks');
  });

  it('holds the moving averages of batch normalizations, under the names of their variables', async () => {
    const trained = make('statistics', { normalized: true });
    await train(trained, 3);
    const { statistics, parameters } = await trained.optimizer.state();
    expect(Object.keys(statistics ?? {})).toEqual(['statistics_norm/moving_mean', 'statistics_norm/moving_variance']);
    expect(Object.keys(parameters)).toHaveLength(4);
    const [, , mean] = trained.model.layers[0].getWeights();
    expect(statistics?.['statistics_norm/moving_mean']).toEqual({ ...tensor32(mean.dataSync() as Float32Array) });
  });

  it('makes an equal model of the same names before its first step', async () => {
    const trained = make('same', { normalized: true });
    await train(trained, 5);
    const loss = evaluate(trained);
    const state = await trained.optimizer.state();
    for (const weight of variablesOf(trained.model.weights)) weight.assign(tf.zerosLike(weight));
    const resumed = tfjsOptimizer(momentum());
    disposing(resumed);
    await resumed.load(state);
    expect(evaluate(trained)).toBe(loss);
    expect(await resumed.state()).toEqual(state);
  });

  it('is loaded with its moving averages into another model, given as such', async () => {
    const [first, second] = [make('model', { normalized: true }), make('model', { normalized: true })];
    await train(first, 5);
    await second.optimizer.load(await first.optimizer.state(), second.model);
    expect(evaluate(second)).toBe(evaluate(first));
    expect(await train(second, 2)).toEqual(await train(first, 2));
    expect(await second.optimizer.state()).toEqual(await first.optimizer.state());
  });

  it('with moving averages needs variables for them, or nothing changes', async () => {
    const [first, second] = [make('half', { normalized: true }), make('half', { normalized: true })];
    await train(first, 2);
    const state = await first.optimizer.state();
    const before = second.model.getWeights().map((weight) => [...weight.dataSync()]);
    const loading = second.optimizer.load(state, variablesOf(second.model.trainableWeights));
    await expect(loading).rejects.toThrow(/statistic "half_norm\/moving_mean" without a variable; give/);
    const wrong = { ...state, statistics: { 'half_norm/moving_mean': tensor32([1]) } };
    await expect(second.optimizer.load(wrong, second.model)).rejects.toThrow(
      /moving_mean" has shape \[1\], the variable/,
    );
    expect(second.model.getWeights().map((weight) => [...weight.dataSync()])).toEqual(before);
    expect((await second.optimizer.state()).parameters).toEqual({});
  });

  it('keeps what no variable can hold: PyTorch counts its batches there', async () => {
    const [first, second] = [make('counted', { normalized: true }), make('counted', { normalized: true })];
    await train(first, 2);
    const state = await first.optimizer.state();
    const counted = { dtype: 'I64', shape: [], bytes: new Uint8Array(new BigInt64Array([7n]).buffer) } as const;
    await second.optimizer.load(
      { ...state, statistics: { ...state.statistics, 'bn.num_batches_tracked': counted } },
      second.model,
    );
    await train(second, 1);
    const { statistics } = await second.optimizer.state();
    expect(statistics?.['bn.num_batches_tracked']).toEqual(counted);
    expect(Object.keys(statistics ?? {})).toHaveLength(3);
    await second.optimizer.load(state, second.model);
    expect(await second.optimizer.state()).toEqual(state);
  });

  it('leaves frozen weights to their owner', async () => {
    const [first, second] = [make('frozen', { normalized: true }), make('frozen', { normalized: true })];
    for (const { model } of [first, second]) {
      model.layers[1].trainable = false;
      model.compile({ optimizer: model.optimizer, loss: 'meanSquaredError' });
    }
    await train(first, 2);
    const state = await first.optimizer.state();
    expect(Object.keys(state.parameters)).toEqual(['frozen_norm/gamma', 'frozen_norm/beta']);
    expect(Object.keys(state.statistics ?? {})).toHaveLength(2);
    const [kernel] = second.model.layers[1].getWeights().map((weight) => [...weight.dataSync()]);
    await second.optimizer.load(state, second.model);
    expect([...second.model.layers[1].getWeights()[0].dataSync()]).toEqual(kernel);
  });

  it('does not fit variables that it lacks, or that lack in it', async () => {
    const [first, second] = [make('short'), make('short')];
    await train(first, 1);
    const state = await first.optimizer.state();
    const [kernel] = variablesOf(second.model.weights);
    await expect(second.optimizer.load(state, [kernel])).rejects.toThrow('parameter "short/bias" that this run lacks');
    const { 'short/kernel': one } = state.parameters;
    const part = { ...state, parameters: { 'short/kernel': one } };
    await expect(second.optimizer.load(part, second.model)).rejects.toThrow('lacks the parameter "short/bias_1"');
  });
});

it('has the seed of the state that was loaded, whoever draws with it', async () => {
  const [first, second] = [make('seeded'), make('seeded')];
  await train(first, 1);
  await second.optimizer.load({ ...(await first.optimizer.state()), random: { seed: 3 } }, second.model);
  await train(second, 1);
  expect((await second.optimizer.state()).random).toEqual({ seed: 3 });
});
