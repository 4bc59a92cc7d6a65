// How much longer predictions, evaluations and steps of a frozen network take than a stock session of the exported model.
//
//   npm run build && node tools/bench/inference-speed.js [--runs 31] [--batch 8]
//
// Every round runs each of them once, in turn, and gives ratios to its own stock run; the table has their medians. A step
// on the last layer alone computes the loss and two gradients beside: what it takes is a bound on the frozen layers.

import { parseArgs } from 'node:util';
import { dataFile } from '@adakit/fixtures';
import { findHead, mse, readModel } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '31' }, batch: { type: 'string', default: '8' } },
});
const [runs, batch] = [Number(values.runs), Number(values.batch)];
const MODELS = ['mnist-cnn', 'exported/resnet18', 'exported/mobilenetv3', 'exported/vgg11', 'exported/vit', 'exported/bert'];

/** Of sequences. */
const LENGTH = 8;

/** A tensor as a session wants it: numbers in [−1, 1), and index 0. */
function tensorOf({ dtype, shape }) {
  const dims = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? batch : LENGTH));
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (dtype === 'int64') return new Tensor('int64', new BigInt64Array(size), dims);
  return new Tensor(dtype, Float32Array.from({ length: size }, () => 2 * Math.random() - 1), dims);
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

async function measure(name) {
  const model = await readModel(dataFile(`${name}.onnx`));
  const loss = mse();
  const session = await TrainingSession.create({ model, loss, optimizer: sgd({ lr: 1e-3 }) });
  const { weight } = findHead(model);
  const frozen = await TrainingSession.create({ model, loss, optimizer: sgd({ lr: 1e-9 }), train: weight });
  const stock = await InferenceSession.create(await session.exportModel());
  const feeds = Object.fromEntries(session.inputs.map((spec) => [spec.name, tensorOf(spec)]));
  const inputs = Object.fromEntries(stock.inputNames.map((input) => [input, feeds[input]]));
  const ways = {
    predict: () => session.predict(inputs),
    evaluate: () => session.evaluate(feeds),
    'frozen step': () => frozen.step(feeds),
  };
  for (const way of [() => stock.run(inputs), ...Object.values(ways)]) for (let i = 0; i < 3; i++) await way();
  const rounds = [];
  for (let i = 0; i < runs; i++) {
    const alone = await timed(() => stock.run(inputs));
    const ratios = [];
    for (const way of Object.values(ways)) ratios.push((await timed(way)) / alone);
    rounds.push({ alone, ratios });
  }
  await Promise.all([session.dispose(), frozen.dispose(), stock.release()]);
  const row = { model: name, 'stock ms': median(rounds.map(({ alone }) => alone)).toFixed(2) };
  Object.keys(ways).forEach((way, i) => (row[way] = median(rounds.map(({ ratios }) => ratios[i])).toFixed(2)));
  return row;
}

const rows = [];
for (const name of MODELS) rows.push(await measure(name));
console.table(rows);
