import { fillRandom, nameKey, referenceDevice, Run, tensor64 } from '@adakit/core';
import { drawn, gradient, labels as own, rows, start } from '@adakit/fixtures/softmax-regression';
import { sophia } from '@adakit/sophia';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { tfjsOptimizer, type AdakitOptimizer } from '../index.js';
import { leaveNothing } from '../testing/leave-nothing.js';
import { drawnLabels } from './estimate.js';

const { disposing, leaving } = leaveNothing();
/** Of variables. */
let made = 0;

interface Training {
  readonly optimizer: AdakitOptimizer;
  readonly w: tf.Variable;
  step(): void;
}

/** Softmax regression, with labels of any of the forms that there are. */
function training(
  options: Parameters<typeof sophia>[0],
  { seed = 11, form = 'one-hot' }: { readonly seed?: number; readonly form?: 'one-hot' | 'numbers' | 'column' } = {},
): Training {
  const optimizer = tfjsOptimizer(sophia(options));
  disposing(optimizer);
  const w = tf.variable(tf.tensor2d([...start], [3, 2]), true, `w${made++}`);
  const x = tf.tensor2d(rows.map((row) => [...row]));
  const given = {
    'one-hot': () => tf.oneHot([...own], 2).cast('float32'),
    numbers: () => tf.tensor1d([...own], 'int32'),
    column: () => tf.tensor2d([...own], [3, 1]),
  }[form]();
  const labels = drawnLabels(optimizer, { seed });
  const loss = (): tf.Scalar => {
    const logits = tf.matMul(x, w);
    const found = labels(given, logits);
    expect([found.shape, found.dtype]).toEqual([given.shape, given.dtype]);
    const oneHot = form === 'one-hot' ? found : tf.oneHot(found.reshape([3]).toInt(), 2);
    return tf.losses.softmaxCrossEntropy(oneHot, logits);
  };
  return { optimizer, w, step: () => void optimizer.minimize(loss, false, [w]) };
}

function drawnAt(w: ArrayLike<number>, seed: number, step: number): number[] {
  const uniform = new Float32Array(2 * rows.length);
  fillRandom('uniform', { seed, key: nameKey('labels'), step, stream: 0 }, uniform);
  return drawn(
    w,
    Array.from(uniform, (u) => u + 2 ** -25),
  );
}

describe('an optimizer that estimates the curvature', () => {
  it.each(['one-hot', 'numbers', 'column'] as const)(
    'takes the steps of the formulas, with labels as %s',
    async (form) => {
      const hyperparameters = { lr: 0.05, every: 2, gamma: 2, beta1: 0.8, beta2: 0.5 };
      const { w, step } = training(hyperparameters, { form });
      const expected = Run.start(referenceDevice(), sophia(hyperparameters), { w: tensor64(start, [3, 2]) });
      const found = new Set<string>();
      for (let i = 1; i <= 8; i++) {
        const before = (await expected.weights('trained')).w.data;
        const labels = drawnAt(before, 11, i);
        found.add(labels.join());
        await expected.applyGradients(
          { w: tensor64(gradient(before, own), [3, 2]) },
          { estimate: { w: tensor64(gradient(before, labels), [3, 2]) }, samples: rows.length },
        );
        step();
        const values = w.dataSync();
        // Float32 against float64: a few roundings of values of about 1, a step.
        (await expected.weights('trained')).w.data.forEach((value, at) => {
          expect(Math.abs(values[at] - value)).toBeLessThan(i * 4 * 2 ** -23);
        });
      }
      expect(found.size).toBeGreaterThan(1);
    },
  );

  it('goes on to the last bit from a state', async () => {
    const hyperparameters = { lr: 0.1, every: 3 };
    const whole = training(hyperparameters);
    for (let i = 0; i < 4; i++) whole.step();
    const state = await whole.optimizer.state();
    const resumed = training(hyperparameters);
    const name = Object.keys(state.parameters)[0];
    const { [name]: parameter } = state.parameters;
    await resumed.optimizer.load({ ...state, parameters: { [resumed.w.name]: parameter } });
    for (let i = 0; i < 5; i++) {
      whole.step();
      resumed.step();
    }
    expect(resumed.w.dataSync()).toEqual(whole.w.dataSync());
  });

  it('leaves no tensors behind', () => {
    const { step } = training({ lr: 0.1, every: 2 });
    step();
    const before = tf.memory().numTensors;
    for (let i = 0; i < 4; i++) step();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('trains a model of layers, whose moving averages move once a step', async () => {
    const optimizer = disposing(tfjsOptimizer(sophia({ lr: 0.05 })));
    const labels = drawnLabels(optimizer, { seed: 1, outputs: 'probabilities' });
    const normalization = tf.layers.batchNormalization({ inputShape: [2], momentum: 0.5 });
    const model = tf.sequential({ layers: [normalization, tf.layers.dense({ units: 2, activation: 'softmax' })] });
    const loss = (y: tf.Tensor, p: tf.Tensor) => tf.metrics.categoricalCrossentropy(labels(y, p), p).mean();
    model.compile({ optimizer, loss });
    await model.fit(tf.tensor2d([[2, 0], [2, 4]]), tf.oneHot([0, 1], 2).cast('float32'), { epochs: 1, shuffle: false }); // prettier-ignore
    const [, , mean] = normalization.getWeights();
    expect([...mean.dataSync()]).toEqual([1, 1]);
    model.dispose();
  });
});

describe('what cannot be estimated is refused, and nothing has changed', () => {
  it('a loss without drawn labels, or with several', () => {
    const optimizer = disposing(tfjsOptimizer(sophia()));
    const w = tf.variable(tf.tensor1d([1, 2]));
    const plain = () => optimizer.minimize(() => w.square().sum());
    expect(plain).toThrow('minimize() or fit() with drawnLabels() of @adakit/runner-tfjs/estimate');
    const labels = drawnLabels(optimizer, { seed: 1 });
    expect(plain).toThrow('the loss asks for no drawn labels');
    // TensorFlow.js leaves what it has saved of a loss that fails, here the square and the sum, for its gradient.
    leaving(2);
    const twice = () => optimizer.minimize(() => labels(w, w).add(labels(w, w)).sum());
    expect(twice).toThrow('may ask for drawn labels once');
    expect([...w.dataSync(), optimizer.iterations]).toEqual([1, 2, 0]);
    expect(() => drawnLabels(optimizer, { seed: -1 })).toThrow('seed must be a whole number');
  });

  it('gradients without a loss', () => {
    const optimizer = disposing(tfjsOptimizer(sophia()));
    tf.variable(tf.tensor1d([1]), true, 'alone');
    drawnLabels(optimizer, { seed: 1 });
    const apply = () => { optimizer.applyGradients({ alone: tf.tensor1d([1]) }); }; // prettier-ignore
    expect(apply).toThrow('minimize() or fit()');
  });
});
