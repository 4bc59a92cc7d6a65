import { tfjsOptimizer, fusion } from '@adakit/runner-tfjs';
import * as tf from '@tensorflow/tfjs';
import { kernels } from './kernels.js';
import { rules } from './rules.js';

/** Times of one contender, and what it takes. */
export interface Measured {
  /** Of every round, in ms. */
  readonly times: readonly number[];
  /** Draws or dispatches of a step. */
  readonly kernels: number;
}

/**
 * Times steps of `applyGradients` on the current backend until the device is done with them: `tf.train.adam`, and rules
 * fused and op by op, in turn.
 *
 * @param variables how many, each of this shape
 */
export async function measure(
  variables: number,
  shape: [number, number],
  rounds: number,
): Promise<Record<string, Measured>> {
  const contenders: Record<string, () => Promise<[number, number]>> = {
    'tf.train.adam': contender(tf.train.adam(1e-3)),
    adam: contender(tfjsOptimizer(rules.adam({ lr: 1e-3 }))),
    'adam, op by op': contender(tfjsOptimizer(rules.adam({ lr: 1e-3 }), { fused: false })),
    adabelief: contender(tfjsOptimizer(rules.adabelief({ lr: 1e-3 }))),
    'adabelief, op by op': contender(tfjsOptimizer(rules.adabelief({ lr: 1e-3 }), { fused: false })),
  };
  const entries = Object.entries(contenders);
  const measured = new Map(entries.map(([name]) => [name, { times: [] as number[], kernels: 0 }]));
  for (const [, step] of entries) await step();
  await fusion();
  const warmUps = 2;
  for (let round = 0; round < warmUps + rounds; round++) {
    for (let i = 0; i < entries.length; i++) {
      const [name, step] = entries[(i + round) % entries.length];
      const [time, count] = await step();
      const entry = measured.get(name);
      if (entry === undefined || round < warmUps) continue;
      entry.times.push(time);
      entry.kernels = count;
    }
  }
  return Object.fromEntries(measured);

  function contender(optimizer: tf.Optimizer): () => Promise<[number, number]> {
    const trained = Array.from({ length: variables }, () => tf.variable(tf.randomNormal(shape)));
    const gradients = Object.fromEntries(
      trained.map(({ name }, i) => [
        name,
        tf.tidy<tf.Tensor>(() => tf.mul(tf.randomNormal(shape, 0, 1, 'float32', i), 1)),
      ]),
    );
    // What is read last is done last: devices keep the order of their commands.
    const wait = async (): Promise<void> => {
      const last = tf.slice(trained[variables - 1], [0, 0], [1, 1]);
      // WebGL is asked again and again whether it has answered, at intervals that would be measured as well.
      if (tf.getBackend() === 'webgl') last.dataSync();
      else await last.data();
      last.dispose();
    };
    return async () => {
      await wait();
      const before = kernels();
      const start = performance.now();
      optimizer.applyGradients(gradients);
      const count = kernels() - before;
      await wait();
      return [performance.now() - start, count];
    };
  }
}
