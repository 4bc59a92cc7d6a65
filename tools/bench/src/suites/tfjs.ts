import { adabelief } from '@adakit/adabelief';
import { adam } from '@adakit/adam';
import { startBackend, tfjsOptimizer } from '@adakit/runner-tfjs';
import '@adakit/runner-tfjs/fused/cpu';
import '@adakit/runner-tfjs/fused/wasm';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { compare, ratioOf, type Contender } from '../measure/compare.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

const VARIABLES = 20;
const SIZE = 50_000;

export const tfjs: Suite = {
  title: 'A step in TensorFlow.js',
  method:
    `\`applyGradients\` alone on ${String(VARIABLES)} variables of ${SIZE.toLocaleString('en')} elements, one fused loop and op ` +
    'by op, against `tf.train.adam` on the same backend.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  for (const backend of ['cpu', 'wasm']) {
    if (!backend.includes(only)) continue;
    await startBackend(backend);
    const contenders = {
      'tf.train.adam': step(tf.train.adam(1e-3)),
      adam: step(tfjsOptimizer(adam({ lr: 1e-3 }))),
      'adam, op by op': step(tfjsOptimizer(adam({ lr: 1e-3 }), { fused: false })),
      adabelief: step(tfjsOptimizer(adabelief({ lr: 1e-3 }))),
      'adabelief, op by op': step(tfjsOptimizer(adabelief({ lr: 1e-3 }), { fused: false })),
    };
    const times = await compare(contenders, { rounds, rest: 20, runUp: 2 });
    const base = times['tf.train.adam'];
    for (const [name, each] of Object.entries(times)) {
      const ratios = each === base ? {} : { 'tf.train.adam': ratioOf(each, base) };
      yield { case: backend, name, ms: each.median, ratios };
    }
  }
}

/** A step on variables of its own. */
function step(optimizer: tf.Optimizer): Contender {
  const names = Array.from({ length: VARIABLES }, () => tf.variable(tf.randomNormal([SIZE])).name);
  const gradients = Object.fromEntries(names.map((name, i) => [name, tf.randomNormal([SIZE], 0, 1, 'float32', i)]));
  return () => {
    const start = performance.now();
    optimizer.applyGradients(gradients);
    return performance.now() - start;
  };
}
