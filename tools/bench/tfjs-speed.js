// How fast a step of an adakit optimizer is in TensorFlow.js, against tf.train.adam on the same backend: one fused loop,
// and op by op. The step alone: gradients are there already.
//
//   npm run build && node tools/bench/tfjs-speed.js [--backend cpu] [--parameters 1000000] [--variables 20] [--rounds 9]
//
// Rounds are interleaved, so that whatever else the machine does meets all of them; the results are medians and quotients
// of medians.

import { parseArgs } from 'node:util';
import { adabelief } from '@adakit/adabelief';
import { adam } from '@adakit/adam';
import { startBackend, tfjsOptimizer } from '@adakit/runner-tfjs';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import '@adakit/runner-tfjs/fused/cpu';
import '@adakit/runner-tfjs/fused/wasm';

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'cpu' },
    parameters: { type: 'string', default: '1000000' },
    variables: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '9' },
  },
});
await startBackend(values.backend);
const count = Number(values.variables);
const size = Math.ceil(Number(values.parameters) / count);

/** A step on variables of its own. */
function subject(optimizer) {
  const names = Array.from({ length: count }, () => tf.variable(tf.randomNormal([size]))).map(({ name }) => name);
  const gradients = Object.fromEntries(names.map((name, i) => [name, tf.randomNormal([size], 0, 1, 'float32', i)]));
  const last = tf.engine().registeredVariables[names.at(-1)];
  return async () => {
    const start = performance.now();
    optimizer.applyGradients(gradients);
    // GPU backends work on after the call.
    if (!['cpu', 'wasm'].includes(values.backend)) await last.data();
    return performance.now() - start;
  };
}

const subjects = {
  'tf.train.adam': subject(tf.train.adam(1e-3)),
  'adam, fused': subject(tfjsOptimizer(adam({ lr: 1e-3 }))),
  'adam, op by op': subject(tfjsOptimizer(adam({ lr: 1e-3 }), { fused: false })),
  'adabelief, fused': subject(tfjsOptimizer(adabelief({ lr: 1e-3 }))),
  'adabelief, op by op': subject(tfjsOptimizer(adabelief({ lr: 1e-3 }), { fused: false })),
};
const times = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
for (let round = -3; round < Number(values.rounds); round++) {
  for (const [name, step] of Object.entries(subjects)) {
    const ms = await step();
    if (round >= 0) times[name].push(ms);
  }
}
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const base = median(times['tf.train.adam']);
console.log(`tfjs/${values.backend}, ${count} variables of ${size}:`);
for (const [name, list] of Object.entries(times)) {
  console.log(`  ${name.padEnd(20)} ${median(list).toFixed(2).padStart(8)} ms  ${(base / median(list)).toFixed(1)}×`);
}
