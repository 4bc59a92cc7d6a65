import { defineOptimizer, Run, tensor32 } from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendError, startBackend, tfjsDevice } from './index.js';

const descent = defineOptimizer({
  name: 'descent',
  hyperparameters: {},
  update: ({ param, grad }) => ({ param: param.sub(grad) }),
});

vi.spyOn(console, 'warn').mockImplementation(() => undefined);
beforeEach(() => startBackend('cpu'));

describe('a backend', () => {
  it('that takes time has to be started before a device is made', async () => {
    expect(() => tfjsDevice('wasm')).toThrow(/"wasm" has not started yet; await startBackend\('wasm'\) first/);
    expect(tf.getBackend()).toBe('cpu');
    expect(await startBackend('wasm')).toBe('wasm');
    tfjsDevice('cpu');
    expect(tf.getBackend()).toBe('cpu');
    tfjsDevice('wasm');
    expect(tf.getBackend()).toBe('wasm');
  });

  it('may change from run to run and step to step', async () => {
    await startBackend('wasm');
    const runs = ['cpu', 'wasm'].map((name) => Run.start(tfjsDevice(name), descent(), { w: tensor32([3]) }));
    for (const run of [...runs, ...runs]) {
      await run.applyGradients({ w: tensor32([1]) });
      expect(`tfjs/${tf.getBackend()}`).toBe(run.backend);
    }
    for (const run of runs) {
      expect((await run.weights()).w.data[0]).toBe(1);
      await run.dispose();
    }
  });

  it('is the current one by default, also where it changes under way', async () => {
    await startBackend('wasm');
    const run = Run.start(tfjsDevice(), descent(), { w: tensor32([3]) });
    for (const name of ['wasm', 'cpu', 'wasm']) {
      await startBackend(name);
      await run.applyGradients({ w: tensor32([1]) });
      expect(run.backend).toBe(`tfjs/${name}`);
    }
    expect((await run.weights()).w.data[0]).toBe(0);
    await run.dispose();
    expect(await startBackend()).toBe('wasm');
  });

  it('that is missing or unknown is an error that says what to do', async () => {
    await expect(startBackend('webgpu')).rejects.toBeInstanceOf(BackendError);
    await expect(startBackend('webgpu')).rejects.toMatchObject({ backend: 'webgpu', code: 'backend' });
    const missing = /no backend "webgpu".*cpu.*import '@tensorflow\/tfjs-backend-webgpu' first/;
    expect(() => tfjsDevice('webgpu')).toThrow(missing);
    expect(() => tfjsDevice('gpu')).toThrow(/no backend "gpu".*tf\.registerBackend/);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('that does not start is an error, and the one from before stays', async () => {
    tf.registerBackend('broken', () => {
      throw new Error('no such device');
    });
    await expect(startBackend('broken')).rejects.toMatchObject({ name: 'BackendError', backend: 'broken' });
    expect(() => tfjsDevice('broken')).toThrow('"broken" does not start here');
    expect(tf.getBackend()).toBe('cpu');
    expect(tf.tidy(() => tf.scalar(1).add(1).dataSync()[0])).toBe(2);
    tf.removeBackend('broken');
  });
});
