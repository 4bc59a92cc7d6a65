import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { tfjsCallbacks, type Callback, type FitResult } from './index.js';

beforeAll(() => tf.setBackend('cpu'));

function model() {
  const made = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  made.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mae'] });
  return made;
}
const x = tf.tensor2d([0, 1, 2, 3, 4, 5], [6, 1]);
const y = x.mul(2);

describe('model.fit of TensorFlow.js', () => {
  it('calls the same callbacks', async () => {
    const events: [string, number, number?][] = [];
    let end: FitResult | undefined;
    const recorder: Callback = {
      onStart: ({ epochs }) => void events.push(['start', epochs ?? 0]),
      onStep: ({ step, epoch, samples }) => void events.push([`step of ${samples}`, step, epoch]),
      onValidation: ({ step, values }) => void events.push([`validation ${Object.keys(values).join(' ')}`, step]),
      onEpoch: ({ step, epoch }) => void events.push(['epoch', step, epoch]),
      onEnd: (result) => void (end = result),
    };
    const trained = model();
    const { history } = await trained.fit(x, y, {
      epochs: 2,
      batchSize: 4,
      validationData: [x, y],
      callbacks: tfjsCallbacks(trained, [recorder], { epochs: 2 }),
    });
    expect(events).toEqual([
      ['start', 2],
      ['step of 4', 1, 1],
      ['step of 2', 2, 1],
      ['validation loss mae', 2],
      ['epoch', 2, 1],
      ['step of 4', 3, 2],
      ['step of 2', 4, 2],
      ['validation loss mae', 4],
      ['epoch', 4, 2],
    ]);
    expect([end?.reason, end?.step, end?.history.map(({ loss }) => loss)]).toEqual(['completed', 4, history.loss]);
  });

  it('ends when a callback says so, and names one that fails', async () => {
    const trained = model();
    let end: FitResult | undefined;
    const stopping: Callback = {
      onEpoch: (_, control) => {
        control.stop('enough');
      },
      onEnd: (result) => void (end = result),
    };
    await trained.fit(x, y, { epochs: 9, callbacks: tfjsCallbacks(trained, [stopping]) });
    expect([end?.reason, end?.detail, end?.epochs]).toEqual(['callback', 'enough', 1]);
    const failing: Callback = {
      name: 'log',
      onStep: () => {
        throw new Error('disk full');
      },
    };
    const told: unknown[] = [];
    const other: Callback = { onStep: ({ step }) => void told.push(step), onEnd: (result) => void told.push(result) };
    const running = trained.fit(x, y, { callbacks: tfjsCallbacks(trained, [failing, other]) });
    await expect(running).rejects.toThrow('log, onStep, failed at step 1: disk full');
    // The others hear of the step, and of the end as well.
    expect(told).toEqual([1, undefined]);
  });
});
