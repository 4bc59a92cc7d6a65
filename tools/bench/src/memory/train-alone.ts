/**
 * A process that trains a network and says what memory it took, on one line of JSON:
 *
 *     node --expose-gc train-alone.js NETWORK FILE.onnx BATCH STEPS THREADS [LIMIT]
 */
import { adamw } from '@adakit/adam';
import { crossEntropy } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { median } from '@adakit/cli/internal/measure';
import { batchOf, networks } from '../networks.js';
import { processBytes, slopeOf, type Footprint } from './process-memory.js';

const [name, file, rows, steps, threads] = process.argv.slice(2);
const limit = process.argv.at(7);
const network = networks[name];
const start = processBytes('VmRSS');
const session = await TrainingSession.create({
  model: file,
  loss: crossEntropy({ classAxis: network.classAxis }),
  optimizer: adamw({ lr: 1e-4 }),
  session: { intraOpNumThreads: Number(threads) },
  ...(limit !== undefined && { memoryLimit: { bytes: Number(limit), dims: { batch: Number(rows) } } }),
});
const batch = batchOf(network, Number(rows));
const count = Number(steps);
/** How many times memory is looked at in the second half of the steps. */
const LOOKS = 20;
const isLong = count >= 1000;
const apart = Math.floor(count / 2 / LOOKS);
const sizes: number[] = [];
const times: number[] = [];
for (let step = 0; step < count; step++) {
  const from = performance.now();
  await session.step(batch);
  times.push(performance.now() - from);
  if (isLong && step >= count / 2 && step % apart === 0) {
    // What JavaScript has not collected yet comes and goes by tens of MiB, which no line through it is straight enough for.
    globalThis.gc?.();
    sizes.push(processBytes('VmRSS'));
  }
}
const footprint: Footprint = {
  start,
  peak: processBytes('VmHWM'),
  growth: isLong ? (1000 / apart) * slopeOf(sizes) : NaN,
  milliseconds: median(times),
};
console.log(JSON.stringify(footprint));
await session.dispose();
