import { defineOptimizer, learningRate, tensor32, tensor64, type TrainingState } from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { onBackend } from './backend.js';
import { BackendError, tfjsRunner } from './index.js';

/** Keeps the last gradient and the sum of all, and counts in the parameter: θ ← θ + η·t. */
const recorder = defineOptimizer({
  name: 'recorder',
  hyperparameters: { lr: learningRate(1) },
  slots: () => ['last', { name: 'sum', initial: 10 }],
  update: ({ param, grad, slots, hyper, step }) => ({
    param: param.add(step.mul(hyper.lr)),
    slots: { last: grad, sum: slots.sum.add(grad) },
  }),
});

const quiet = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
let before: number;
beforeEach(async () => {
  await tf.setBackend('cpu');
  before = tf.memory().numTensors;
});
afterEach(() => {
  expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
  quiet.mockClear();
});

describe.each(['cpu', 'wasm'])('a run on tfjs/%s', (backend) => {
  const runner = tfjsRunner(backend);

  it('names itself', async () => {
    const run = await runner.start(recorder(), {});
    expect([runner.backend, runner.precision, run.backend]).toEqual([`tfjs/${backend}`, 'float32', `tfjs/${backend}`]);
    expect(tf.getBackend()).toBe(backend);
    await run.dispose();
  });

  it('updates parameters that have gradients, and gives every parameter in its state', async () => {
    const run = await runner.start(recorder(), { w: tensor64([1, 2], [2, 1]), b: tensor32([5], []) });
    await run.applyGradients({ w: tensor64([3, 4], [2, 1]) });
    await run.applyGradients({ w: tensor32([5, 6], [2, 1]) });
    const state = await run.state();
    expect(state).toMatchObject({ step: 2, origin: `tfjs/${backend}`, optimizer: { name: 'recorder' } });
    expect(state.parameters).toEqual({
      w: {
        value: tensor32([4, 5], [2, 1]),
        step: 2,
        slots: { last: tensor32([5, 6], [2, 1]), sum: tensor32([18, 20], [2, 1]) },
      },
      b: { value: tensor32([5], []), step: 0, slots: { last: tensor32([0], []), sum: tensor32([10], []) } },
    });
    await run.dispose();
  });

  it('shares no memory with parameters, gradients and states', async () => {
    const [parameter, gradient] = [tensor32([1]), tensor32([7])];
    const run = await runner.start(recorder(), { w: parameter });
    await run.applyGradients({ w: gradient });
    const [taken, loaded] = [await run.state(), await run.state()];
    const copy = structuredClone(taken);
    const scribble = ({ parameters: { w } }: TrainingState): void => {
      for (const { data } of [parameter, gradient, w.value, w.slots.last]) data[0] = 99;
    };
    scribble(taken);
    expect(await run.state()).toEqual(copy);
    await run.load(loaded);
    scribble(loaded);
    expect(await run.state()).toEqual(copy);
    await run.dispose();
  });

  it('goes on from a state as the run that it is from', async () => {
    const first = await runner.start(recorder(), { w: tensor32([1]), b: tensor32([2]) });
    await first.applyGradients({ w: tensor32([1]) });
    first.setHyperparameters({ lr: 0.5 });
    const second = await runner.start(recorder(), { w: tensor32([0]), b: tensor32([0]) });
    await second.load(await first.state());
    for (const run of [first, second]) await run.applyGradients({ w: tensor32([2]), b: tensor32([3]) });
    expect(await second.state()).toEqual(await first.state());
    expect(second.optimizer.hyperparameters.lr).toBe(0.5);
    await first.dispose();
    await second.dispose();
  });

  it('is unchanged by gradients and states that do not fit', async () => {
    const run = await runner.start(recorder(), { w: tensor32([1]), b: tensor32([2]) });
    await run.applyGradients({ w: tensor32([1]) });
    const state = await run.state();
    const good = { w: tensor32([1]) };
    await expect(run.applyGradients({ ...good, v: tensor32([1]) })).rejects.toThrow(/"v", but the run has "w", "b"/);
    await expect(run.applyGradients({ ...good, b: tensor32([1, 2]) })).rejects.toThrow(/"b" has shape \[2\]/);
    const part: TrainingState = { ...state, step: 9, parameters: { w: state.parameters.w } };
    await expect(run.load(part)).rejects.toThrow('lacks the parameter "b"');
    expect(await run.state()).toEqual(state);
    await run.dispose();
  });

  it('cannot be used after dispose, which may be called twice', async () => {
    const run = await runner.start(recorder(), { w: tensor32([1]) });
    const state = await run.state();
    await run.dispose();
    await run.dispose();
    for (const use of [run.applyGradients({}), run.state(), run.load(state)]) {
      await expect(use).rejects.toMatchObject({ code: 'disposed' });
    }
  });

  it('is found by nobody else who minimizes', async () => {
    const run = await runner.start(recorder(), { w: tensor32([1]) });
    tf.tidy(() => {
      const own = tf.variable(tf.scalar(3));
      expect(Object.keys(tf.variableGrads(() => own.square()).grads)).toEqual([own.name]);
      own.dispose();
    });
    await run.dispose();
  });
});

describe('backends', () => {
  it('may change from run to run and step to step', async () => {
    const runs = await Promise.all(['cpu', 'wasm'].map((b) => tfjsRunner(b).start(recorder(), { w: tensor32([1]) })));
    for (const run of [...runs, ...runs]) {
      await run.applyGradients({ w: tensor32([1]) });
      expect(`tfjs/${tf.getBackend()}`).toBe(run.backend);
    }
    const [cpu, wasm] = await Promise.all(runs.map((run) => run.state()));
    expect(wasm).toEqual({ ...cpu, origin: 'tfjs/wasm' });
    for (const run of runs) await run.dispose();
  });

  it('are one at a time, also for work that is asked for at once', async () => {
    const names = ['cpu', 'wasm', 'cpu', 'wasm'];
    const seen = await Promise.all(names.map((name) => onBackend(name, () => tf.getBackend())));
    expect(seen).toEqual(names);
  });

  it('are the current one by default', async () => {
    const runner = tfjsRunner();
    const run = await runner.start(recorder(), {});
    expect([runner.backend, run.backend]).toEqual(['tfjs/cpu', 'tfjs/cpu']);
    await run.dispose();
  });

  it('that are missing or unknown are errors that say what to do', async () => {
    const missing = tfjsRunner('webgpu').start(recorder(), {});
    await expect(missing).rejects.toBeInstanceOf(BackendError);
    await expect(missing).rejects.toThrow(/no backend "webgpu".*cpu.*import '@tensorflow\/tfjs-backend-webgpu' first/);
    await expect(tfjsRunner('gpu').start(recorder(), {})).rejects.toThrow(/no backend "gpu".*tf\.registerBackend/);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('that do not start are errors, and the one from before stays', async () => {
    tf.registerBackend('broken', () => {
      throw new Error('no such device');
    });
    await expect(tfjsRunner('broken').start(recorder(), {})).rejects.toMatchObject({
      name: 'BackendError',
      backend: 'broken',
    });
    expect(tf.getBackend()).toBe('cpu');
    expect(tf.tidy(() => tf.scalar(1).add(1).dataSync()[0])).toBe(2);
    tf.removeBackend('broken');
  });
});
