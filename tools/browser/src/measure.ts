import { buildProgram, elementCount, evaluateScalars } from '@adakit/core';
import { fusion, tfjsDevice, tfjsOptimizer } from '@adakit/runner-tfjs';
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
 * fused and op by op, in turn. `limit`: one kernel for each variable that does nothing but read the four arrays that Adam reads,
 * and write the three that it writes.
 *
 * @param variables how many, each of this shape
 */
export async function measure(
  variables: number,
  shape: [number, number],
  rounds: number,
): Promise<Record<string, Measured>> {
  const probe = tf.variable(tf.randomNormal(shape));
  const contenders: Record<string, () => Promise<[number, number]>> = {
    'tf.train.adam': contender(updates(tf.train.adam(1e-3))),
    adam: contender(updates(tfjsOptimizer(rules.adam({ lr: 1e-3 })))),
    'adam, op by op': contender(updates(tfjsOptimizer(rules.adam({ lr: 1e-3 }), { fused: false }))),
    adabelief: contender(updates(tfjsOptimizer(rules.adabelief({ lr: 1e-3 })))),
    'adabelief, op by op': contender(updates(tfjsOptimizer(rules.adabelief({ lr: 1e-3 }), { fused: false }))),
    limit: contender(movements(variables, shape)),
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

  function contender(step: () => void): () => Promise<[number, number]> {
    // What is read last is done last: devices keep the order of their commands.
    const wait = async (): Promise<void> => {
      const last = tf.slice(probe, [0, 0], [1, 1]);
      // WebGL is asked again and again whether it has answered, at intervals that would be measured as well.
      if (tf.getBackend() === 'webgl') last.dataSync();
      else await last.data();
      last.dispose();
    };
    return async () => {
      await wait();
      const before = kernels();
      const start = performance.now();
      step();
      const count = kernels() - before;
      await wait();
      return [performance.now() - start, count];
    };
  }

  /** Steps of an optimizer on variables of its own. */
  function updates(optimizer: tf.Optimizer): () => void {
    const trained = Array.from({ length: variables }, () => tf.variable(tf.randomNormal(shape)));
    const gradients = Object.fromEntries(
      trained.map(({ name }, i) => [
        name,
        tf.tidy<tf.Tensor>(() => tf.mul(tf.randomNormal(shape, 0, 1, 'float32', i), 1)),
      ]),
    );
    return () => {
      optimizer.applyGradients(gradients);
    };
  }
}

type Node = Parameters<typeof buildProgram>[1][string];

/** What every Adam has to move, without its arithmetic and without a check: param ← param + grad, m ← m, v ← v. */
function movements(variables: number, shape: readonly number[]): () => void {
  const device = tfjsDevice();
  const type = { place: 'device', shape: 'param', dtype: 'float32' } as const;
  const input = (name: string): Node => ({ node: { form: 'input', name, type } });
  const sum: Node = { node: { form: 'elementwise', op: 'add', type, args: [input('param'), input('grad')] } };
  const program = buildProgram('limit', { param: sum, m: input('m'), v: input('v') });
  const length = elementCount(shape);
  const lists = device.allocate(Array.from({ length: variables }, () => [length, length, length, length]));
  for (const buffer of lists.flat()) device.write(buffer, new Float32Array(length).fill(1));
  const bound = device.compile(program).bind(
    lists.map(([param, grad, m, v]) => ({
      buffers: { param, grad, m, v },
      shape,
      extents: { rows: shape[0], cols: length / shape[0] },
    })),
  );
  const scalars = lists.map(() => evaluateScalars(program, () => NaN));
  return () => {
    void bound.run(scalars);
  };
}
