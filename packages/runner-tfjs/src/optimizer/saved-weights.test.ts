import {
  accumulate,
  asMatrix,
  asParam,
  clipByGlobalNorm,
  defineOptimizer,
  ema,
  exponential,
  flag,
  groups,
  learningRate,
  lossScaling,
  nonNegative,
  sum,
  type Optimizer,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import '../device/fused/cpu.js';
import { tfjsOptimizer, type AdakitOptimizer } from '../index.js';
import { registerOptimizers, SavedOptimizer } from './register.js';
import { leaveNothing } from '../testing/leave-nothing.js';

/** Velocity v ← μv + g, parameter θ ← θ − η(1 + 1/t)v: depends on slots and on the count of steps. */
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1), mu: nonNegative(0.5) },
  slots: () => ['velocity'],
  update({ param, grad, slots, step, hyper: { lr, mu } }) {
    const velocity = slots.velocity.mul(mu).add(grad);
    return { param: param.sub(velocity.mul(lr).mul(step.pow(-1).add(1))), slots: { velocity } };
  },
});

/** θ ← t. */
const counter = defineOptimizer({
  name: 'counter',
  hyperparameters: {},
  slots: () => [],
  update: ({ grad, step }) => ({ param: grad.mul(0).add(step) }),
});

const { disposing } = leaveNothing();

function make(optimizer: Optimizer): AdakitOptimizer {
  return disposing(tfjsOptimizer(optimizer));
}

const variable = (name: string, values: number[]): tf.Variable => tf.variable(tf.tensor1d(values), true, name);
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

function step(optimizer: AdakitOptimizer, ...variables: tf.Variable[]): void {
  tf.tidy(() => {
    optimizer.applyGradients(variables.map(({ name, shape }) => ({ name, tensor: tf.ones(shape) })));
  });
}

async function contents(optimizer: AdakitOptimizer): Promise<Record<string, number[]>> {
  return Object.fromEntries((await optimizer.getWeights()).map(({ name, tensor }) => [name, values(tensor)]));
}

/** Weights as loading hands them over: new tensors, disposed once setWeights is done. */
async function setCopies(optimizer: AdakitOptimizer, from: AdakitOptimizer, rename = (n: string) => n): Promise<void> {
  const copies = (await from.getWeights()).map(({ name, tensor }) => ({ name: rename(name), tensor: tensor.clone() }));
  await optimizer.setWeights(copies);
  tf.dispose(copies.map(({ tensor }) => tensor));
}

describe('getWeights', () => {
  it('names steps and slots, and counts where a variable lags behind', async () => {
    const [a, b] = [variable('a', [0, 0]), variable('b', [0])];
    const optimizer = make(momentum());
    expect(await contents(optimizer)).toEqual({ iterations: [0] });
    step(optimizer, a);
    step(optimizer, a, b);
    expect(await contents(optimizer)).toEqual({
      iterations: [2],
      'a/velocity': [1.5, 1.5],
      'b/velocity': [1],
      'b/iterations': [1],
    });
  });

  it('counts the steps of variables without slots', async () => {
    const w = variable('w', [0]);
    const optimizer = make(counter());
    step(optimizer, w);
    expect(await contents(optimizer)).toEqual({ iterations: [1], 'w/iterations': [1] });
  });

  it('leaves out slots that the optimizer no longer keeps', async () => {
    const switching = defineOptimizer({
      name: 'switching',
      hyperparameters: { extra: flag(true) },
      slots: ({ extra }) => (extra ? ['sum', 'last'] : ['sum']),
      update: ({ param, grad, slots, uses }) => ({
        param,
        slots: uses.extra ? { sum: slots.sum.add(grad), last: grad } : { sum: slots.sum.add(grad) },
      }),
    });
    const w = variable('w', [0]);
    const [first, second] = [make(switching()), make(switching({ extra: false }))];
    step(first, w);
    first.setHyperparameters({ extra: false });
    step(first, w);
    expect(await contents(first)).toEqual({ iterations: [2], 'w/sum': [2] });
    await setCopies(second, first);
    expect(await contents(second)).toEqual({ iterations: [2], 'w/sum': [2] });
  });

  it('holds no more tensors when called again', async () => {
    const w = variable('w', [0]);
    const optimizer = make(momentum());
    step(optimizer, w);
    await optimizer.getWeights();
    const before = tf.memory().numTensors;
    for (let i = 0; i < 5; i++) await optimizer.getWeights();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('setWeights', () => {
  it('goes on as if nothing had happened, steps of each variable included', async () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const [first, second] = [make(momentum()), make(momentum())];
    step(first, a, b);
    step(first, a);
    const start = [a, b].map((v) => v.clone());
    await setCopies(second, first);
    step(first, a, b);
    const expected = [a, b].map(values);
    [a, b].forEach((v, i) => { v.assign(start[i]); }); // prettier-ignore
    step(second, a, b);
    expect([a, b].map(values)).toEqual(expected);
    expect(second.iterations).toBe(3);
  });

  it('keeps what it was given until variables turn up for it', async () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const [first, second] = [make(momentum()), make(momentum())];
    step(first, a, b);
    await setCopies(second, first);
    expect(await contents(second)).toEqual(await contents(first));
    step(second, a);
    expect(await contents(second)).toMatchObject({ 'a/velocity': [1.5], 'b/velocity': [1] });
    await expect(second.state()).rejects.toThrow('for "b" have not met their variables yet');
    step(second, b);
    expect(Object.keys((await second.state()).parameters)).toEqual(['a', 'b']);
  });

  it('replaces what there was', async () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const [first, second] = [make(momentum()), make(momentum())];
    step(first, a);
    step(second, b);
    step(second, b);
    await setCopies(second, first);
    await setCopies(second, first);
    expect(await contents(second)).toEqual({ iterations: [1], 'a/velocity': [1] });
  });

  it('leaves nothing behind when the optimizer is disposed meanwhile', async () => {
    const w = variable('w', [0]);
    const [first, second] = [make(momentum()), make(momentum())];
    step(first, w);
    const weights = await first.getWeights();
    const before = tf.memory().numTensors;
    const setting = second.setWeights(weights);
    second.dispose();
    await expect(setting).rejects.toMatchObject({ code: 'disposed' });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('goes on with everything else that a run keeps: loss scale, collected batches, numbers, skipped steps', async () => {
    const w = variable('w', [0]);
    const rule = lossScaling(accumulate(3, clipByGlobalNorm(1, momentum())), { initialScale: 8 });
    const [first, second] = [make(rule), make(rule)];
    const gradient = (value: number): void => {
      tf.tidy(() => { first.applyGradients({ w: tf.tensor1d([value]) }); }); // prettier-ignore
    };
    for (const value of [1, NaN, 2, 3, 4]) gradient(value);
    expect([first.iterations, first.skipped, first.lossScale]).toEqual([1, 1, 4]);
    await setCopies(second, first);
    expect([second.iterations, second.skipped, second.lossScale]).toEqual([1, 1, 4]);
    const start = w.clone();
    step(first, w);
    step(first, w);
    const expected = values(w);
    expect(expected).not.toEqual(values(start));
    w.assign(start);
    step(second, w);
    step(second, w);
    expect(values(w)).toEqual(expected);
    expect(await second.state()).toEqual(await first.state());
  });

  it('keeps slots of every shape, and averages of weights', async () => {
    const w = tf.variable(tf.ones([2, 3]), true, 'w');
    const rows = defineOptimizer({
      name: 'rows',
      hyperparameters: {},
      slots: () => [{ name: 'row', shape: ['rows', 1] }],
      update: ({ param, grad, slots }) => {
        const row = slots.row.add(sum(asMatrix(grad), 'cols'));
        return { param: asParam(asMatrix(param).sub(row)), slots: { row } };
      },
    });
    const matrix = groups([{ match: { rank: 2 }, optimizer: ema(0.5, rows()) }], momentum());
    const [first, second] = [make(matrix), make(matrix)];
    step(first, w);
    await setCopies(second, first);
    step(second, w);
    const { row, 'ema.average': average } = (await second.state()).parameters.w.slots;
    expect([row.shape, [...row.data]]).toEqual([[2, 1], [6, 6]]); // prettier-ignore
    expect([...average.data]).toEqual(new Array(6).fill(((1 - 2) / 2 + (-2 - 6)) / 2));
  });

  it('takes weights in any order', async () => {
    const w = variable('w', [0]);
    const [first, second] = [make(momentum()), make(momentum())];
    step(first, w);
    await second.setWeights((await first.getWeights()).toReversed());
    expect(await contents(second)).toEqual(await contents(first));
  });

  const bad: [string, () => tf.NamedTensorMap, RegExp][] = [
    ['without a number of steps', () => ({}), /no "iterations"/],
    ['with an unknown slot', () => ({ iterations: tf.scalar(1), 'w/m': tf.scalar(1) }), /"w\/m".*slots: velocity/],
    ['of no variable', () => ({ iterations: tf.scalar(1), velocity: tf.scalar(1) }), /"velocity" is not a slot/],
    ['with a fractional number of steps', () => ({ iterations: tf.scalar(0.5) }), /step count is 0\.5/],
    ['with many numbers of steps', () => ({ iterations: tf.tensor1d([1, 2]) }), /step count is.*shape \[2\]/],
  ];
  it.each(bad)('refuses weights %s and changes nothing', async (_, weights, message) => {
    const w = variable('w', [0]);
    const optimizer = make(momentum());
    step(optimizer, w);
    const list = Object.entries(weights()).map(([name, tensor]) => ({ name, tensor }));
    const before = tf.memory().numTensors;
    await expect(optimizer.setWeights(list)).rejects.toMatchObject({
      code: 'state-mismatch',
      message: expect.stringMatching(message) as string,
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(await contents(optimizer)).toEqual({ iterations: [1], 'w/velocity': [1] });
  });

  it('knows the slots of rules that groups choose by role, rank or shape', async () => {
    const two = defineOptimizer({
      name: 'two',
      hyperparameters: {},
      slots: () => ['m', 'v'],
      update: ({ param, grad, slots }) => ({ param: param.sub(slots.m), slots: { m: grad, v: slots.v } }),
    });
    const matricesOnly = defineOptimizer({
      name: 'matrices_only',
      hyperparameters: {},
      slots: () => ['p'],
      update: ({ param, grad, matrix }) => {
        if (!matrix) throw new Error('no matrix');
        return { param: param.sub(grad), slots: { p: grad } };
      },
    });
    const rules = groups(
      [
        { match: { role: 'norm' }, optimizer: two() },
        { match: { rank: 4 }, optimizer: two() },
        { match: { shape: [7] }, optimizer: two() },
        { match: { role: 'embedding' }, optimizer: matricesOnly() },
      ],
      momentum(),
    );
    const shapes = { 'n/gamma': [2], 'c/kernel': [1, 1, 2, 1], seven: [7], 'e/embeddings': [3, 2], rest: [2] };
    const variables = Object.entries(shapes).map(([name, shape]) => tf.variable(tf.zeros(shape), true, name));
    const [first, second] = [make(rules), make(rules)];
    step(first, ...variables);
    await setCopies(second, first);
    step(first, ...variables);
    step(second, ...variables);
    expect(await contents(second)).toEqual(await contents(first));
  });

  it('refuses a variable with some of its slots only, and two weights of one name', async () => {
    const two = defineOptimizer({
      name: 'two',
      hyperparameters: {},
      slots: () => ['m', 'v'],
      update: ({ param, slots }) => ({ param, slots }),
    });
    const weights = [tf.scalar(1), tf.scalar(2)].map((tensor, i) => ({ name: ['iterations', 'w/m'][i], tensor }));
    await expect(make(two()).setWeights(weights)).rejects.toThrow('"w/v" is missing');
    await expect(make(two()).setWeights([weights[0], weights[0]])).rejects.toThrow('two have the same name');
  });
});

/** Sums gradients up, and writes the sum into the variable. */
const tracer = defineOptimizer({
  name: 'tracer',
  hyperparameters: {},
  slots: () => ['sum'],
  update({ grad, slots }) {
    const sum = slots.sum.add(grad);
    return { param: sum, slots: { sum } };
  },
});

type Sizes = readonly (readonly [name: string, size: number])[];

describe('saved slots find their variables', () => {
  /** Saves slots with the sums 1, 2, 3 … for variables, then steps others: their sums tell whose slots they got. */
  async function sums(saved: Sizes, stepped: Sizes): Promise<Record<string, number>> {
    const [first, second] = [make(tracer()), make(tracer())];
    const old = saved.map(([name, size]) => variable(name, new Array<number>(size).fill(0)));
    tf.tidy(() => {
      first.applyGradients(old.map(({ name, shape }, i) => ({ name, tensor: tf.fill(shape, i + 1) })));
    });
    await second.setWeights(await first.getWeights());
    tf.disposeVariables();
    const current = stepped.map(([name, size]) => variable(name, new Array<number>(size).fill(0)));
    tf.tidy(() => {
      second.applyGradients(current.map(({ name, shape }) => ({ name, tensor: tf.zeros(shape) })));
    });
    return Object.fromEntries(current.map((v) => [v.name, values(v)[0]]));
  }

  const clear: [string, Sizes, Sizes, Record<string, number>][] = [
    ['by name, whatever the order', [['a', 1], ['b', 1]], [['b', 1], ['a', 1]], { a: 1, b: 2 }],
    [
      'by name but for a number at the end, as when a model is loaded again',
      [['d/kernel', 2], ['d/bias', 2]],
      [['d/bias_1', 2], ['d/kernel_3', 2]],
      { 'd/kernel_3': 1, 'd/bias_1': 2 },
    ],
    [
      'in order where names differ in that number only',
      [['k_1', 1], ['k_2', 1], ['b', 1]],
      [['b_1', 1], ['k_3', 1], ['k_4', 1]],
      { k_3: 1, k_4: 2, b_1: 3 },
    ],
    ['in order when no name fits', [['d1/w', 2], ['d1/b', 2]], [['d2/w', 2], ['d2/b', 2]], { 'd2/w': 1, 'd2/b': 2 }],
    ['while a new variable starts afresh', [['a', 1]], [['a', 1], ['head', 3]], { a: 1, head: 0 }],
    ['while a saved one waits for gradients', [['a', 1], ['b', 1]], [['b', 1]], { b: 2 }],
  ]; // prettier-ignore
  it.each(clear)('%s', async (_, saved, stepped, expected) => {
    expect(await sums(saved, stepped)).toEqual(expected);
  });

  it('and keep their names, so that groups apply as before', async () => {
    const grouped = groups([{ match: 'w', hyperparameters: { lr: 1 } }], momentum());
    const [first, second] = [make(grouped), make(grouped)];
    step(first, variable('w', [0]));
    await setCopies(second, first);
    const renamed = variable('w_1', [0]);
    step(second, renamed);
    expect(values(renamed)).toEqual([-1.5 * 1.5]);
    expect(await contents(second)).toEqual({ iterations: [2], 'w/velocity': [1.5] });
    const state = await second.state();
    expect(Object.keys(state.parameters)).toEqual(['w']);
    step(second, renamed);
    await second.load(state);
    expect(values(renamed)).toEqual([-1.5 * 1.5]);
    await second.load(state, [renamed]);
    expect(await second.state()).toEqual(state);
  });

  const unclear: [string, Sizes, Sizes][] = [
    ['another shape', [['a', 1]], [['a', 2]]],
    ['another shape under a number', [['a', 1]], [['a_1', 2]]],
    ['shapes in another order', [['a', 1], ['b', 2]], [['c', 2], ['d', 1]]],
    ['a name that fits and one that does not', [['a', 1], ['head', 1]], [['a', 1], ['top', 1]]],
    ['another number of variables', [['a', 1], ['b', 1]], [['c', 1]]],
  ]; // prettier-ignore
  it.each(unclear)('but %s is an error, and nothing is updated', async (_, saved, stepped) => {
    await expect(sums(saved, stepped)).rejects.toThrow(/those of ".*cannot be assigned to "/);
    for (const [name] of stepped) expect(values(tf.engine().registeredVariables[name])[0]).toBe(0);
  });
});

describe('model.save with the optimizer', () => {
  const build = (optimizer: AdakitOptimizer): tf.Sequential => {
    const model = tf.sequential({
      name: 'saved_model',
      layers: [tf.layers.dense({ units: 3, inputShape: [2], name: 'first_layer' }), tf.layers.dense({ units: 1 })],
    });
    model.compile({ optimizer, loss: 'meanSquaredError' });
    disposing(model);
    return model;
  };

  it('and loadLayersModel go on bit for bit, groups and schedules included', async () => {
    registerOptimizers(momentum);
    const optimizer = make(
      groups(
        [
          { match: /first_layer\/kernel/, hyperparameters: { lr: 0.01 } },
          { match: 'first_layer/bias', hyperparameters: { lr: 0.02 } },
        ],
        momentum().withSchedules({ lr: exponential(0.9) }),
      ),
    );
    optimizer.setHyperparameters({ mu: 0.25 });
    const model = build(optimizer);
    const x = tf.randomUniform([8, 2], -1, 1, 'float32', 1);
    const y = x.sum(1, true);
    const fit = async (m: tf.LayersModel): Promise<unknown> =>
      (await m.fit(x, y, { epochs: 3, shuffle: false })).history.loss;
    await fit(model);

    let artifacts: tf.io.ModelArtifacts | undefined;
    const saving = tf.io.withSaveHandler((saved) => {
      artifacts = saved;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } });
    });
    await model.save(saving, { includeOptimizer: true });
    const text = JSON.stringify(artifacts?.trainingConfig);
    const loaded = await tf.loadLayersModel({
      load: () => Promise.resolve({ ...artifacts, trainingConfig: JSON.parse(text) as tf.io.TrainingConfig }),
    });
    disposing(loaded);
    disposing(loaded.optimizer);
    expect(loaded.optimizer.getConfig()).toEqual(optimizer.getConfig());
    const copy = SavedOptimizer.fromConfig<AdakitOptimizer>(SavedOptimizer, loaded.optimizer.getConfig());
    expect(copy.optimizer.hyperparameters).toEqual({ lr: 0.1, mu: 0.25 });
    expect(await fit(loaded)).toEqual(await fit(model));
    const [before, after] = [model, loaded].map((m) => m.getWeights().map(values));
    expect(after).toEqual(before);
  });

  it('and loadLayersModel, which says what to call where the optimizer is not known', async () => {
    const model = build(make(momentum()));
    let artifacts: tf.io.ModelArtifacts | undefined;
    const saving = tf.io.withSaveHandler((saved) => {
      artifacts = saved;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } });
    });
    await model.save(saving, { includeOptimizer: true });
    const text = JSON.stringify(artifacts?.trainingConfig);
    const { classNameMap } = tf.serialization.SerializationMap.getMap();
    const registered = { ...classNameMap };
    Reflect.deleteProperty(classNameMap, SavedOptimizer.className);
    const loading = tf.loadLayersModel({
      load: () => Promise.resolve({ ...artifacts, trainingConfig: JSON.parse(text) as tf.io.TrainingConfig }),
    });
    await expect(loading).rejects.toThrow('registerOptimizers() of @adakit/runner-tfjs/register');
    Object.assign(classNameMap, registered);
  });
});

it('keeps the numbers of all variables together while they wait for their variables', async () => {
  const w = tf.variable(tf.tensor1d([3, 4]), true, 'waiting');
  const first = tfjsOptimizer(clipByGlobalNorm(1, defineOptimizer({ name: 'plain', hyperparameters: { lr: learningRate(0.1) }, update: ({ param, grad, hyper: { lr } }) => ({ param: param.sub(grad.mul(lr)) }) })())); // prettier-ignore
  first.minimize(() => tf.sum(tf.square(w)), false, [w]);
  const texts = async (optimizer: AdakitOptimizer): Promise<unknown[]> =>
    (await optimizer.getWeights()).map(({ name, tensor }) => [name, Array.from(tensor.dataSync())]);
  const second = tfjsOptimizer(first.optimizer);
  await second.setWeights(await first.getWeights());
  expect(await texts(second)).toEqual(await texts(first));
  tf.dispose([w]);
  first.dispose();
  second.dispose();
});
