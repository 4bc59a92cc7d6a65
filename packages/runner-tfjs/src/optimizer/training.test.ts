import {
  accumulate,
  clipByGlobalNorm,
  clipByValue,
  decoupledDecay,
  defineOptimizer,
  ema,
  groups,
  learningRate,
  lossScaling,
  maximize,
  milestones,
  nonNegative,
  reduceOnPlateau,
  sam,
  type Optimizer,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import '../device/fused/cpu.js';
import { tfjsOptimizer, type AdakitOptimizer, type TfjsOptimizerOptions } from '../index.js';
import { leaveNothing } from '../testing/leave-nothing.js';

/** θ ← θ − ηv, v ← μv + g. */
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(1), mu: nonNegative(0) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper: { lr, mu } }) {
    const velocity = slots.velocity.mul(mu).add(grad);
    return { param: param.sub(velocity.mul(lr)), slots: { velocity } };
  },
});

const { disposing, leaving } = leaveNothing();

function make(optimizer: Optimizer, options?: TfjsOptimizerOptions): AdakitOptimizer {
  return disposing(tfjsOptimizer(optimizer, options));
}

const variable = (name: string, values: number[]): tf.Variable => tf.variable(tf.tensor1d(values), true, name);
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

function denseModel(optimizer: AdakitOptimizer, ...layers: tf.layers.Layer[]): tf.Sequential {
  const model = tf.sequential({
    layers: [...layers, tf.layers.dense({ units: 1, kernelInitializer: 'ones', inputShape: [2] })],
  });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  disposing(model);
  return model;
}

const weightsOf = (model: tf.LayersModel): number[] => model.getWeights().flatMap(values);

describe('what is not finite', () => {
  it('is refused: no variable is updated, no step counted, nothing kept', async () => {
    const [a, b] = [variable('a', [1]), variable('b', [1])];
    const optimizer = make(momentum());
    const bad = { a: tf.tensor1d([1]), b: tf.tensor1d([Infinity]) };
    expect(() => { optimizer.applyGradients(bad); }).toThrow(/gradients of "b" are not finite at step 1; nothing/); // prettier-ignore
    expect([values(a), values(b), optimizer.iterations]).toEqual([[1], [1], 0]);
    expect((await optimizer.state()).parameters).toEqual({});
    optimizer.applyGradients({ a: tf.tensor1d([1]) });
    const before = await optimizer.state();
    expect(() => { optimizer.applyGradients(bad); }).toThrow('not finite at step 2'); // prettier-ignore
    expect(await optimizer.state()).toEqual(before);
  });

  it('is refused when the loss is finite and its gradient is not', () => {
    const w = variable('w', [0, 1]);
    const optimizer = make(momentum());
    // The root has no derivative at 0.
    expect(() => optimizer.minimize(() => w.sqrt().sum())).toThrow('gradients of "w" are not finite');
    expect(values(w)).toEqual([0, 1]);
  });

  it('is refused when only the loss is not finite', () => {
    const w = variable('w', [1e20]);
    const optimizer = make(momentum());
    expect(() => optimizer.minimize(() => w.square().sum(), true)).toThrow('the loss is Infinity');
    expect(values(w)).toEqual([Math.fround(1e20)]);
  });

  it('is refused before it spoils the moving averages of a batch normalization', async () => {
    const optimizer = make(momentum({ lr: 0.1 }));
    const model = denseModel(optimizer, tf.layers.batchNormalization({ inputShape: [2] }));
    const y = tf.ones([2, 1]);
    await model.trainOnBatch(tf.tensor2d([[1, 2], [3, 5]]), y); // prettier-ignore
    const before = weightsOf(model);
    await expect(model.trainOnBatch(tf.tensor2d([[1, NaN], [3, 5]]), y)).rejects.toThrow('not finite'); // prettier-ignore
    expect(weightsOf(model)).toEqual(before);
    expect(optimizer.iterations).toBe(1);
  });

  it('is passed over and counted where that is the policy', () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum(), { nonFinite: 'skip' });
    optimizer.applyGradients({ w: tf.tensor1d([NaN]) });
    expect([values(w), optimizer.iterations, optimizer.skipped]).toEqual([[1], 0, 1]);
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    expect([values(w), optimizer.iterations, optimizer.skipped]).toEqual([[0], 1, 1]);
  });
});

describe('the loss scale', () => {
  it('multiplies the loss before it is differentiated, and leaves what is reported alone', () => {
    const w = variable('w', [3]);
    const optimizer = make(lossScaling(momentum({ lr: 0.25 }), { initialScale: 8, interval: 2 }));
    const { value, grads } = optimizer.computeGradients(() => w.square().sum());
    expect([values(value), values(grads.w)]).toEqual([[9], [48]]);
    optimizer.applyGradients(grads);
    expect(values(w)).toEqual([1.5]);
    expect(values(optimizer.minimize(() => w.square().sum(), true) as tf.Scalar)).toEqual([2.25]);
    expect([values(w), optimizer.lossScale]).toEqual([[0.75], 16]);
  });

  it('falls when gradients overflow, and that step is passed over', () => {
    const w = variable('w', [1e-38]);
    const optimizer = make(lossScaling(momentum(), { initialScale: 8 }));
    for (let i = 0; i < 2; i++) optimizer.minimize(() => w.sum().mul(1e38));
    expect([optimizer.lossScale, optimizer.skipped, optimizer.iterations]).toEqual([2, 2, 0]);
    expect(values(w)).toEqual([Math.fround(1e-38)]);
  });

  it('leaves a loss alone whose multiple would overflow', () => {
    const w = variable('w', [4]);
    const optimizer = make(lossScaling(momentum({ lr: 0.25 }), { initialScale: 2 ** 127 }));
    // 4 · 2^127 is infinite in float32; the gradient, 2^127, is not.
    expect(values(optimizer.minimize(() => w.sum(), true) as tf.Scalar)).toEqual([4]);
    expect([values(w), optimizer.skipped]).toEqual([[3.75], 0]);
  });

  it('can only be scaled back if there is one, which shows at once', () => {
    expect(() => tfjsOptimizer(momentum(), { nonFinite: 'scaleBack' })).toThrow('lossScaling()');
  });
});

describe('several batches', () => {
  it('make one step', async () => {
    const [one, four] = [momentum({ lr: 0.1 }), accumulate(4, momentum({ lr: 0.1 }))].map((rule) => make(rule));
    const [whole, parts] = [denseModel(one), denseModel(four)];
    const x = [[1, 2], [3, 4], [0, 1], [2, 2]]; // prettier-ignore
    await whole.trainOnBatch(tf.tensor2d(x), tf.zeros([4, 1]));
    for (const row of x) await parts.trainOnBatch(tf.tensor2d([row]), tf.zeros([1, 1]));
    expect(four.iterations).toBe(1);
    // Sums of four in another order: each has a rounding error of its own.
    const [a, b] = [weightsOf(whole), weightsOf(parts)];
    a.forEach((weight, i) => { expect(b[i]).toBeCloseTo(weight, 5); }); // prettier-ignore
  });
});

describe('a gradient that is taken twice', () => {
  it('is that at the perturbed point, for minimize', () => {
    const w = variable('w', [3]);
    const optimizer = make(sam(0.5, momentum({ lr: 0.25 })));
    // ∇ = 2 · (3 + 0.5 · 6/6)
    const cost = optimizer.minimize(() => w.square().sum(), true) as tf.Scalar;
    expect([values(cost), values(w)]).toEqual([[9], [3 - 0.25 * 7]]);
  });

  it('updates moving averages once, and leaves no tensors', async () => {
    const optimizer = make(sam(0.5, momentum({ lr: 0.1 })));
    const normalization = tf.layers.batchNormalization({ inputShape: [2], momentum: 0.5 });
    const model = denseModel(optimizer, normalization);
    const [x, y] = [tf.tensor2d([[2, 0], [2, 4]]), tf.ones([2, 1])]; // prettier-ignore
    await model.fit(x, y, { epochs: 1, shuffle: false });
    const [, , mean] = normalization.getWeights();
    expect(values(mean)).toEqual([1, 1]);
    const before = tf.memory().numTensors;
    await model.fit(x, y, { epochs: 3, shuffle: false });
    expect(tf.memory().numTensors).toBe(before);
    expect(optimizer.iterations).toBe(4);
  });

  it('needs a loss to evaluate again: applyGradients and metrics of a model have none', async () => {
    const w = variable('w', [3]);
    const optimizer = make(sam(0.5, momentum()));
    expect(() => { optimizer.applyGradients({ w: tf.tensor1d([1]) }); }).toThrow(/twice a step; use minimize\(\)/); // prettier-ignore
    expect(values(w)).toEqual([3]);

    const model = denseModel(optimizer);
    model.compile({ optimizer, loss: 'meanSquaredError', metrics: ['mae'] });
    const before = weightsOf(model);
    const training = model.trainOnBatch(tf.ones([2, 2]), tf.ones([2, 1]));
    await expect(training).rejects.toThrow(/the loss keeps tensors; compile the model without metrics/);
    expect(weightsOf(model)).toEqual(before);
    // The metrics that the loss function has kept, twice.
    leaving(2);
  });
});

describe('groups', () => {
  it('are found by what a weight is to its layer, as the layers of TensorFlow.js name it', async () => {
    const optimizer = make(
      groups(
        [
          { match: { role: ['bias', 'norm'] }, hyperparameters: { lr: 0 } },
          { match: { role: 'embedding' }, hyperparameters: { lr: 1e-3 } },
        ],
        momentum({ lr: 0.1 }),
      ),
    );
    const model = tf.sequential({
      layers: [
        tf.layers.embedding({ inputDim: 4, outputDim: 2, inputLength: 3 }),
        tf.layers.layerNormalization(),
        tf.layers.flatten(),
        tf.layers.dense({ units: 1 }),
      ],
    });
    disposing(model);
    model.compile({ optimizer, loss: 'meanSquaredError' });
    const before = model.getWeights().map(values);
    await model.trainOnBatch(tf.tensor2d([[0, 1, 2]]), tf.ones([1, 1]));
    const moved = model.getWeights().map((weight, i) => values(weight).some((x, k) => x !== before[i][k]));
    expect(moved).toEqual([true, false, false, true, false]);
    const { parameters } = await optimizer.state();
    expect(Object.values(parameters).map(({ role }) => role)).toEqual(['embedding', 'norm', 'norm', 'weight', 'bias']);
  });

  it('that match no variable there is are an error of the first step', () => {
    const w = variable('dense/kernel', [1]);
    variable('dense/bias', [1]);
    const gradients = { 'dense/kernel': tf.tensor1d([1]) };
    const typo = make(groups([{ match: 'dense/baas', hyperparameters: { lr: 0 } }], momentum()));
    expect(() => { typo.applyGradients(gradients); }).toThrow(/"dense\/baas" matches none.*"dense\/bias"/); // prettier-ignore
    expect(values(w)).toEqual([1]);
    // The bias is there, and may get its gradient later.
    make(groups([{ match: 'dense/bias', hyperparameters: { lr: 0 } }], momentum())).applyGradients(gradients);
    expect(values(w)).toEqual([0]);
  });

  it('that match a namesake in another model alone are an error of the first step', () => {
    variable('twin/kernel', [1]);
    const w = variable('twin/kernel_1', [1]);
    const named = make(groups([{ match: 'twin/kernel', hyperparameters: { lr: 0 } }], momentum()));
    const step = (): void => { named.applyGradients({ 'twin/kernel_1': tf.tensor1d([1]) }); }; // prettier-ignore
    expect(step).toThrow(/"twin\/kernel" matches none.*"twin\/kernel_1"/);
    expect(values(w)).toEqual([1]);
  });

  it('can be changed by name', () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const optimizer = make(groups([{ name: 'some', match: 'a', hyperparameters: { lr: 2 } }], momentum()));
    optimizer.setHyperparameters({ lr: 3 }, { group: 'some' });
    optimizer.applyGradients({ a: tf.tensor1d([1]), b: tf.tensor1d([1]) });
    expect([values(a), values(b)]).toEqual([[-3], [-1]]);
  });
});

describe('hyperparameters', () => {
  it('include the property that code for TensorFlow.js sets', () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum({ lr: 0.5 }));
    expect(optimizer.learningRate).toBe(0.5);
    optimizer.learningRate *= 0;
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    expect([values(w), optimizer.optimizer.hyperparameters.lr]).toEqual([[1], 0]);
    expect(() => { optimizer.learningRate = -1; }).toThrow('lr must be >= 0'); // prettier-ignore
  });

  it('follow the loss, and metrics that are reported', () => {
    const w = variable('w', [1]);
    const flat = (): tf.Scalar => w.mul(0).sum().add(1);
    const onLoss = make(momentum().withSchedules({ lr: reduceOnPlateau({ by: 'loss', factor: 0.5, patience: 0 }) }));
    const onMetric = make(
      momentum().withSchedules({ lr: reduceOnPlateau({ by: 'metric', factor: 0.5, patience: 0 }) }),
    );
    const rate = (optimizer: AdakitOptimizer): number => {
      w.assign(tf.tensor1d([1]));
      optimizer.applyGradients({ w: tf.tensor1d([1]) });
      return 1 - values(w)[0];
    };
    for (let i = 0; i < 2; i++) onLoss.minimize(flat);
    expect(rate(onLoss)).toBe(0.5);
    expect(rate(onMetric)).toBe(1);
    for (const metric of [1, 1]) onMetric.reportMetric(metric);
    expect(rate(onMetric)).toBe(0.5);
  });

  it('are told as the next step has them, at any time', async () => {
    const w = variable('w', [0]);
    const scheduled = momentum({ lr: 2 }).withSchedules({ lr: milestones([1], 0.5) });
    const optimizer = make(ema(0.9, groups([{ name: 'last', match: 'w', hyperparameters: { lr: 8 } }], scheduled)));
    expect(await optimizer.hyperparameters()).toEqual({ lr: 2, mu: 0 });
    const step = (): unknown => optimizer.minimize(() => w.sum());
    step();
    // Nobody has to wait for it before the next step.
    const after = optimizer.hyperparameters('last');
    step();
    expect(await after).toMatchObject({ lr: 4, 'ema.decay': 0.9 });
    expect([optimizer.learningRate, (await optimizer.hyperparameters()).lr]).toEqual([2, 1]);
    await expect(optimizer.hyperparameters('first')).rejects.toThrow('there is no group "first"');
  });

  it('of what is around a rule follow schedules, the batches of a step too', () => {
    const w = variable('w', [0]);
    const growing = accumulate(1, clipByValue(1, decoupledDecay(0.25, maximize(momentum({ lr: 1 })))));
    const optimizer = make(
      growing.withSchedules({ 'accumulate.every': milestones([1], 2), 'clipByValue.limit': milestones([1], 0.5) }),
    );
    const seen = [2, 2, 4].map((gradient) => {
      optimizer.applyGradients({ w: tf.tensor1d([gradient]) });
      return [optimizer.iterations, ...values(w)];
    });
    // Up by 1; then, of two batches, by 0.5, and a quarter of 1 is taken off.
    expect(seen).toEqual([[1, 1], [1, 1], [2, 1.25]]); // prettier-ignore
  });

  it('of clipping are followed by the norm it reports', async () => {
    variable('w', [1, 1]);
    const optimizer = make(clipByGlobalNorm(1, momentum()));
    optimizer.applyGradients({ w: tf.tensor1d([3, 4]) });
    expect(await optimizer.globals()).toEqual({ 'clipByGlobalNorm.norm': 5 });
  });
});

describe('weights beside those trained', () => {
  it('are shown for as long as work on them takes', async () => {
    const optimizer = make(ema(0.5, momentum({ lr: 0.1 })));
    const model = denseModel(optimizer);
    const [x, y] = [tf.tensor2d([[1, 2]]), tf.zeros([1, 1])]; // prettier-ignore
    const initial = weightsOf(model);
    await model.trainOnBatch(x, y);
    const trained = weightsOf(model);
    expect(optimizer.views).toEqual(['trained', 'averaged']);
    const shown = await optimizer.withWeights('averaged', () => weightsOf(model));
    shown.forEach((weight, i) => { expect(weight).toBeCloseTo((initial[i] + trained[i]) / 2, 6); }); // prettier-ignore
    expect(weightsOf(model)).toEqual(trained);
    const loss = (): number => values(model.evaluate(x, y) as tf.Scalar)[0];
    expect(await optimizer.withWeights('averaged', loss)).not.toBe(loss());
    expect(await optimizer.withWeights('trained', loss)).toBe(loss());
  });

  it('are gone when the work fails, and no step may be taken meanwhile', async () => {
    const w = variable('w', [4]);
    const optimizer = make(ema(0.5, momentum()));
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const step = (): void => { optimizer.applyGradients({ w: tf.tensor1d([1]) }); }; // prettier-ignore
    await expect(optimizer.withWeights('averaged', step)).rejects.toMatchObject({ code: 'busy' });
    await expect(optimizer.withWeights('averaged', () => optimizer.state())).rejects.toThrow(
      "withWeights('averaged') has not finished; await it first",
    );
    expect(values(w)).toEqual([3]);
    step();
    expect(values(w)).toEqual([2]);
    await expect(optimizer.withWeights('median', step)).rejects.toMatchObject({ code: 'unknown-view' });
  });

  it('are those that there are before the first step, unless saved ones are yet to meet their variables', async () => {
    const w = variable('w', [4]);
    const [trained, fresh] = [make(ema(0.5, momentum())), make(ema(0.5, momentum()))];
    expect(await fresh.withWeights('averaged', () => values(w))).toEqual([4]);
    trained.applyGradients({ w: tf.tensor1d([1]) });
    await fresh.setWeights(await trained.getWeights());
    await expect(fresh.withWeights('averaged', () => values(w))).rejects.toThrow('have not met their variables yet');
  });
});

describe('misuse', () => {
  it('of the function in the place of the optimizer is an error at once', () => {
    const optimizer = momentum as unknown as Optimizer;
    expect(() => tfjsOptimizer(optimizer)).toThrow('tfjsOptimizer() needs an optimizer, not the function: momentum()');
  });

  it.each([
    [
      { nonfinite: 'skip' },
      'tfjsOptimizer() takes nonFinite: refuse, nonFinite: skip, nonFinite: scaleBack, fused: true, fused: false; got nonfinite: skip',
    ],
    [
      { nonFinite: 'ignore' },
      'tfjsOptimizer() takes nonFinite: refuse, nonFinite: skip, nonFinite: scaleBack, fused: true, fused: false; got nonFinite: ignore',
    ],
    [
      { fused: 'no' },
      'tfjsOptimizer() takes nonFinite: refuse, nonFinite: skip, nonFinite: scaleBack, fused: true, fused: false; got fused: no',
    ],
  ])('of options as in %j is an error at once', (options, message) => {
    expect(() => tfjsOptimizer(momentum(), options as unknown as TfjsOptimizerOptions)).toThrow(message);
  });
});
