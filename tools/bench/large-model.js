// What memory it takes to train a model past 2 GiB: a stack of matrices in external data, all trained with SGD or all
// but the last frozen. Peak resident memory is that of a process of its own and comes with what the step itself needs.
//
//   npm run build && node tools/bench/large-model.js [--layers 36] [--json]
//
// Weights are 4096 × 4096 float32, 64 MiB each. One copy of the weights is the least that any training needs; the
// gradients, which ONNX Runtime hands out all at once, are a second one where everything is trained.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, writeSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { emitterOf, externalize, Graph, modelFromGraph, parseModel, Tensor, writeModel } from '@adakit/onnx';

const WIDTH = 4096;
const BYTES = 4 * WIDTH * WIDTH;
const GIB = 2 ** 30;

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '36' },
    json: { type: 'boolean', default: false },
    run: { type: 'string' },
    train: { type: 'string' },
  },
});

if (values.run !== undefined) await train(values.run, values.train);
else compare(Number(values.layers));

function compare(layers) {
  const folder = mkdtempSync(join(tmpdir(), 'adakit-large-'));
  try {
    writeLargeModel(folder, layers);
    const weights = layers * BYTES;
    const rows = ['last layer', 'everything'].map((what) => {
      const only = what === 'last layer' ? `w${layers - 1}` : '.';
      const child = spawnSync(process.execPath, [import.meta.filename, '--run', folder, '--train', only], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      if (child.status !== 0) throw new Error(`training ${what} ended with ${child.status ?? child.signal}`);
      return { trained: what, weightsGiB: weights / GIB, ...JSON.parse(child.stdout) };
    });
    if (values.json) console.log(JSON.stringify(rows, null, 2));
    else console.table(rows);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Random weights, the same for every layer, that keep the size of what they are multiplied with. */
function writeLargeModel(folder, layers) {
  const elements = new Float32Array(WIDTH * WIDTH);
  let state = 1;
  for (let i = 0; i < elements.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    elements[i] = (state / 2 ** 31 - 1) * Math.sqrt(3 / WIDTH);
  }
  const graph = new Graph('large');
  const e = emitterOf(graph);
  let x = graph.addInput('x', { dtype: 'float32', shape: [8, WIDTH] });
  for (let i = 0; i < layers; i++) {
    const weight = graph.addInitializer(`w${i}`, Tensor.of('float32', [WIDTH, WIDTH], elements));
    x = e.node('Tanh', [e.matMul(x, weight)]);
  }
  graph.rename(x, 'y');
  graph.outputs.push(x);
  const proto = modelFromGraph(graph);
  const { model, data } = externalize({ proto, graph: proto.graph, source: 'large' }, 'large.onnx.data');
  const file = openSync(join(folder, 'large.onnx.data'), 'w');
  for (const piece of data) writeSync(file, piece);
  closeSync(file);
  writeFileSync(join(folder, 'large.onnx'), writeModel(parseModel(writeModel(model))));
}

async function train(folder, selection) {
  const { TrainingSession, mse } = await import('@adakit/runner-onnx');
  const { sgd } = await import('@adakit/sgd');
  const memory = () => process.resourceUsage().maxRSS * 1024;
  const seconds = async (task) => {
    const start = performance.now();
    await task();
    return (performance.now() - start) / 1000;
  };
  let session;
  const create = await seconds(async () => {
    session = await TrainingSession.create({
      model: join(folder, 'large.onnx'),
      loss: mse({ reduction: 'sum' }),
      optimizer: sgd({ lr: 1e-6 }),
      train: new RegExp(selection),
    });
  });
  const afterCreate = memory();
  const batch = {
    x: { data: Float32Array.from({ length: 8 * WIDTH }, (_, i) => Math.sin(i)), dims: [8, WIDTH] },
    target: { data: new Float32Array(8 * WIDTH), dims: [8, WIDTH] },
  };
  const losses = [];
  const step = await seconds(async () => {
    for (let i = 0; i < 3; i++) losses.push((await session.step(batch)).loss);
  });
  const afterSteps = memory();
  const write = await seconds(() => session.exportModel(join(folder, 'trained.onnx')));
  await session.dispose();
  if (!(losses[2] < losses[0])) throw new Error(`the loss went from ${losses[0]} to ${losses[2]}`);
  const round = (value) => Number(value.toFixed(2));
  console.log(
    JSON.stringify({
      createS: round(create),
      peakCreateGiB: round(afterCreate / GIB),
      stepS: round(step / 3),
      peakStepsGiB: round(afterSteps / GIB),
      exportS: round(write),
      peakExportGiB: round(memory() / GIB),
    }),
  );
}
