import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import { elementCount, referenceDevice, Run, tensor32, type NamedTensors } from '@adakit/core';
import { goldenFiles } from '@adakit/fixtures';
import { sgd } from '@adakit/sgd';
import { parseTrajectory, replay } from '@adakit/testing';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import './device/fused/cpu.js';
import './device/fused/wasm.js';
import { startBackend, tfjsDevice, tfjsOptimizer } from './index.js';

const factories = { adabelief, adabound, adadiff, adam, sgd };

const variants = {
  sgd: sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 1e-2 }),
  adam: adam({ lr: 1e-2, weightDecay: 1e-2, weightDecouple: true, amsgrad: true }),
  adadiff: adadiff({ lr: 1e-2, weightDecay: 1e-3 }),
  adabelief: adabelief({ lr: 1e-2, weightDecay: 1e-2 }),
  adabound: adabound({ lr: 1e-2, finalLr: 0.1, gamma: 0.1 }),
};

/** Numbers between −1 and 1 that look random and are the same in every run. */
function noise(seed: number, shape: readonly number[]): Float32Array {
  return Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(31 * seed + 7.3 * i));
}

const ways = ['cpu', 'wasm'].flatMap((backend) => [
  { backend, fused: true, how: 'in a loop' },
  { backend, fused: false, how: 'op by op' },
]);

describe.each(ways)('on tfjs/$backend, $how', ({ backend, fused }) => {
  beforeAll(() => startBackend(backend));

  const files = goldenFiles().map((file) => [basename(file), file]);
  it.each(files)('%s replays', async (_, file) => {
    const trajectory = parseTrajectory(readFileSync(file, 'utf8'), file);
    const optimizer = factories[trajectory.optimizer as keyof typeof factories].load(trajectory.hyperparameters);
    const before = tf.memory().numTensors;
    const report = await replay(trajectory, optimizer, tfjsDevice(backend, { fused }));
    expect(report).toMatchObject({ backend: `tfjs/${backend}`, steps: trajectory.steps, ok: true });
    expect(tf.memory().numTensors).toBe(before);
  });

  const shapes = { rank0: [], one: [1], empty: [0, 3], vector: [7], kernel: [2, 1, 3, 2] };

  it.each(Object.entries(variants))('%s equals the float32 reference bit for bit, for every shape', async (_, rule) => {
    const tensors = (seed: number): NamedTensors =>
      Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, tensor32(noise(seed, shape), shape)]));
    const runs = [
      Run.start(tfjsDevice(backend, { fused }), rule, tensors(0)),
      Run.start(referenceDevice('float32'), rule, tensors(0)),
    ];
    for (const run of runs) {
      // Past the start of AdaBelief's rectification at step 6.
      for (let step = 1; step <= 8; step++) await run.applyGradients(tensors(step));
    }
    const [ours, reference] = await Promise.all(runs.map((run) => run.state()));
    expect(ours.parameters).toEqual(reference.parameters);
    await runs[0].dispose();
  });

  it.each(Object.entries(variants))('%s trains a layers model and leaves no tensor behind', async (_, rule) => {
    const before = tf.memory().numTensors;
    const optimizer = tfjsOptimizer(rule, { fused });
    const initializer = (seed: number): object => ({ kernelInitializer: tf.initializers.glorotNormal({ seed }) });
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, activation: 'tanh', inputShape: [2], ...initializer(7) }),
        tf.layers.dense({ units: 1, ...initializer(8) }),
      ],
    });
    model.compile({ optimizer, loss: 'meanSquaredError' });
    const x = tf.tensor2d(noise(1, [16, 2]), [16, 2]);
    const y = tf.tidy(() => x.sum(1, true).mul(2).add(1));
    const { history } = await model.fit(x, y, { epochs: 40, batchSize: 16, shuffle: false });
    const loss = history.loss.map(Number);
    expect(loss[39]).toBeLessThan(0.8 * loss[0]);
    expect(optimizer.iterations).toBe(40);
    tf.dispose([x, y]);
    model.dispose();
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});
