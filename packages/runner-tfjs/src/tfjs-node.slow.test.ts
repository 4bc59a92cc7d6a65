import { adam } from '@adakit/adam';
import { sgd } from '@adakit/sgd';
import { optimizerChecks, type DeviceOffer } from '@adakit/testing';
import { describeDevice } from '@adakit/testing/vitest';
import * as tf from '@tensorflow/tfjs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { fusion, startBackend, tfjsDevice, tfjsOptimizer } from './index.js';

/** Not a dependency, as it builds or downloads TensorFlow: tested where it is installed, or in the folder that is named. */
const place = process.env.ADAKIT_TFJS_NODE ?? '@tensorflow/tfjs-node';
const isThere = ((): boolean => {
  try {
    createRequire(import.meta.url)(place);
    return true;
  } catch (error) {
    // Whoever names one wants to know why it does not load.
    if (process.env.ADAKIT_TFJS_NODE !== undefined) throw error;
    return false;
  }
})();

if (isThere) {
  describeDevice(
    'tfjs/tensorflow',
    async () => {
      await startBackend('tensorflow');
      return tfjsDevice('tensorflow');
    },
    // TensorFlow has the processor flush them.
    { rules: 50, subnormals: false },
  );
}

const offer: DeviceOffer = {
  name: 'tfjs/tensorflow',
  exact: false,
  subnormals: false,
  async start() {
    await startBackend('tensorflow');
    return { device: tfjsDevice('tensorflow') };
  },
};

describe.skipIf(!isThere)('tfjs-node', () => {
  const checks = [adam, sgd].flatMap((factory) =>
    optimizerChecks(factory, { required: { lr: 0.1 }, devices: [offer] }).filter(({ name }) =>
      /on tfjs|device to device/.test(name),
    ),
  );

  it('has the numbers of every other device, and takes their states', async () => {
    expect(checks).toHaveLength(4);
    for (const { run } of checks) await run();
  });

  const model = (): tf.Sequential => {
    const seeded = (seed: number) => ({ kernelInitializer: tf.initializers.glorotNormal({ seed }) });
    return tf.sequential({
      layers: [
        tf.layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], activation: 'tanh', ...seeded(1) }),
        tf.layers.flatten(),
        tf.layers.dense({ units: 1, ...seeded(2) }),
      ],
    });
  };
  const data = () => {
    const x = tf.tensor(
      Float32Array.from({ length: 16 * 36 }, (_, i) => Math.sin(7.3 * i)),
      [16, 6, 6, 1],
    );
    return { x, y: tf.tidy(() => x.sum([1, 2]).mul(0.3)) };
  };
  const fit = async (trained: tf.LayersModel, epochs: number): Promise<number[]> => {
    const { x, y } = data();
    const { history } = await trained.fit(x, y, { epochs, batchSize: 16, shuffle: false });
    tf.dispose([x, y]);
    return history['loss'].map(Number);
  };

  it('trains a model, operation by operation, and goes on from a state to the last bit', async () => {
    expect(await startBackend('tensorflow')).toBe('tensorflow');
    const [first, second] = [model(), model()].map((compiled) => {
      const optimizer = tfjsOptimizer(adam({ lr: 0.01 }));
      compiled.compile({ optimizer, loss: 'meanSquaredError' });
      return { model: compiled, optimizer };
    });
    const start = await fit(first.model, 20);
    expect(start[19]).toBeLessThan(0.5 * start[0]);
    const state = await first.optimizer.state();
    await second.optimizer.load(state, second.model);
    expect(await fit(second.model, 5)).toEqual(await fit(first.model, 5));
    expect(second.optimizer.iterations).toBe(25);
    expect(await fusion()).toMatchObject({ backend: 'tensorflow', fused: false });
  });

  it('refuses gradients that are not finite, and changes nothing then', async () => {
    await startBackend('tensorflow');
    const w = tf.variable(tf.tensor1d([1, 2]));
    const optimizer = tfjsOptimizer(adam());
    expect(() => {
      optimizer.applyGradients({ [w.name]: tf.tensor1d([1, NaN]) });
    }).toThrow('not finite');
    expect([...w.dataSync()]).toEqual([1, 2]);
    optimizer.dispose();
    w.dispose();
  });
});
