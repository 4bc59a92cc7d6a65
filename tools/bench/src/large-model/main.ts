import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  emitterOf,
  externalize,
  Graph,
  graphToProto,
  modelFromGraph,
  parseModel,
  Tensor,
  writeModel,
} from '@adakit/onnx';
import { main, parse, wholeNumber } from '../command-line.js';
import { GIB, ROWS, WIDTH, type Cost } from './sizes.js';

const help = `What memory it takes to train a model past 2 GiB: a stack of matrices in external data, all trained with SGD or all but
the last frozen. Peak resident memory is that of a process of its own and comes with what the step itself needs.

usage: npm run large-model -- [options]

Weights are 4096 × 4096 float32, 64 MiB each. One copy of the weights is the least that any training needs; the gradients,
which ONNX Runtime hands out all at once, are a second one where everything is trained.

  --layers N  matrices (default 36: 2.25 GiB)
  --json      results as JSON instead of a table
  --help      this text

Examples:
  npm run large-model
  npm run large-model -- --layers 2 --json`;

const BYTES = 4 * WIDTH * WIDTH;

await main({
  name: 'large-model',
  help,
  run(args) {
    const { values } = parse({
      args: [...args],
      options: { layers: { type: 'string', default: '36' }, json: { type: 'boolean', default: false } },
    });
    const rows = compare(wholeNumber('--layers', values.layers));
    if (values.json) console.log(JSON.stringify(rows, null, 2));
    else console.table(rows);
    return Promise.resolve();
  },
});

interface Row extends Cost {
  readonly trained: string;
  readonly weightsGiB: number;
}

function compare(layers: number): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'adakit-large-'));
  try {
    writeLargeModel(folder, layers);
    const weightsGiB = (layers * BYTES) / GIB;
    return [
      { trained: 'last layer', weightsGiB, ...costOf(folder, `^w${layers - 1}$`) },
      { trained: 'everything', weightsGiB, ...costOf(folder, '.') },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function costOf(folder: string, parameters: string): Cost {
  const script = fileURLToPath(new URL('train.js', import.meta.url));
  const args = [script, join(folder, 'large.onnx'), join(folder, 'trained.onnx'), parameters];
  const { status, signal, stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`training ${parameters} ended with ${status ?? signal ?? 'nothing'}`);
  return JSON.parse(stdout) as Cost;
}

/** Random weights, the same for every layer, that keep the size of what they are multiplied with. */
function writeLargeModel(folder: string, layers: number): void {
  const elements = new Float32Array(WIDTH * WIDTH);
  let state = 1;
  for (let i = 0; i < elements.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    elements[i] = (state / 2 ** 31 - 1) * Math.sqrt(3 / WIDTH);
  }
  const graph = new Graph('large');
  const e = emitterOf(graph);
  let x = graph.addInput('x', { dtype: 'float32', shape: [ROWS, WIDTH] });
  for (let i = 0; i < layers; i++) {
    const weight = graph.addInitializer(`w${i}`, Tensor.of('float32', [WIDTH, WIDTH], elements));
    x = e.node('Tanh', [e.matMul(x, weight)]);
  }
  graph.rename(x, 'y');
  graph.outputs.push(x);
  const whole = { proto: modelFromGraph(graph), graph: graphToProto(graph), source: 'large' };
  const { model, data } = externalize(whole, 'large.onnx.data');
  const file = openSync(join(folder, 'large.onnx.data'), 'w');
  for (const piece of data) writeSync(file, piece);
  closeSync(file);
  writeFileSync(join(folder, 'large.onnx'), writeModel(parseModel(writeModel(model))));
}
