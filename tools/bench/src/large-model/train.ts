/**
 * A process that trains the model of main.ts for three steps and says on one line of JSON what time and memory it took:
 *
 *     node train.js LARGE.onnx TRAINED.onnx PARAMETERS
 *
 * PARAMETERS is a regular expression: those that are trained.
 */
import { TrainingSession, mse } from '@adakit/runner-onnx';
import { sgd } from '@adakit/sgd';
import { GIB, ROWS, WIDTH, type Cost } from './sizes.js';

const [file, trained, parameters] = process.argv.slice(2);
const peak = () => (process.resourceUsage().maxRSS * 1024) / GIB;
let from = performance.now();
/** Seconds since the last call. */
const elapsed = () => {
  const before = from;
  from = performance.now();
  return (from - before) / 1000;
};

const session = await TrainingSession.create({
  model: file,
  loss: mse({ reduction: 'sum' }),
  optimizer: sgd({ lr: 1e-6 }),
  train: new RegExp(parameters),
});
const create = { createS: elapsed(), peakCreateGiB: peak() };

const dims = [ROWS, WIDTH];
const batch = {
  x: { data: Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.sin(i)), dims },
  target: { data: new Float32Array(ROWS * WIDTH), dims },
};
const losses: number[] = [];
elapsed();
for (let i = 0; i < 3; i++) losses.push((await session.step(batch)).loss);
const steps = { stepS: elapsed() / losses.length, peakStepsGiB: peak() };

await session.exportModel(trained);
const written = { exportS: elapsed(), peakExportGiB: peak() };
await session.dispose();

const [first, , last] = losses;
if (!(last < first)) throw new Error(`the loss went from ${first} to ${last}`);
const cost: Cost = { ...create, ...steps, ...written };
console.log(
  JSON.stringify(cost, (_, value: unknown) => (typeof value === 'number' ? Number(value.toFixed(2)) : value)),
);
