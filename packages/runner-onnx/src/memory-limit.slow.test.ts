import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf, Programs } from '@adakit/fixtures/programs';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel, type Value } from '@adakit/onnx';
import { afterAll, beforeAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'adakit-limit-'));
const file = join(folder, 'stages.onnx');
let programs: Programs;
afterAll(() => {
  rmSync(folder, { recursive: true });
  programs.remove();
});

const BATCH = 2048;
/** Stages of layers, each narrower than the one before: no buffer of a stage is of use in another. */
const [WIDTHS, LAYERS] = [[512, 384, 256, 128], 4];

beforeAll(() => {
  const graph = new Graph('stages');
  const e = emitterOf(graph);
  let before = WIDTHS[0];
  let x: Value = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), before] });
  for (const width of WIDTHS) {
    for (let layer = 0; layer < LAYERS; layer++) {
      const values = Tensor.filled('float32', [before, width], 0.01);
      x = e.node('Tanh', [e.matMul(x, graph.addInitializer(graph.uniqueName('w'), values))]);
      before = width;
    }
  }
  graph.rename(x, 'y');
  graph.outputs.push(x);
  writeFileSync(file, writeModel(modelFromGraph(graph)));
  // Compiling takes seconds, and many on a busy machine.
  programs = new Programs(join(import.meta.dirname, '..'), ['core', 'state', 'sgd', 'onnx', 'runner-onnx']);
}, 300_000);

/**
 * A process that takes steps and says how much more memory it took at most than after the first one, with every value in pages of
 * its own: what is given back is not counted any more.
 */
const SCRIPT = `
import { readFileSync, writeFileSync } from 'node:fs';
import { sgd } from '@adakit/sgd';
import { mse, TrainingSession } from '@adakit/runner-onnx';
const [file, batch, width, bytes] = process.argv.slice(2);
const session = await TrainingSession.create({
  model: file, loss: mse(), optimizer: sgd({ lr: 1e-3 }),
  session: { intraOpNumThreads: 1, enableCpuMemArena: false },
  ...(bytes !== undefined && { memoryLimit: { bytes: Number(bytes), dims: { batch: Number(batch) } } }),
});
const tensor = (size) => ({ data: new Float32Array(batch * size).fill(0.1), dims: [Number(batch), Number(size)] });
const data = { x: tensor(width), target: tensor(128) };
const kibibytes = (field) => Number(new RegExp(field + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
await session.step(data);
// The most that there was is counted from here on.
writeFileSync('/proc/self/clear_refs', '5');
const before = kibibytes('VmRSS');
await session.step(data);
console.log(1024 * (kibibytes('VmHWM') - before));
await session.dispose();
`;

async function peak(limit?: number): Promise<number> {
  const args = [file, BATCH, WIDTHS[0], ...(limit === undefined ? [] : [limit])].map(String);
  const own = { MALLOC_MMAP_THRESHOLD_: String(2 ** 16) };
  return Number(await outputOf(programs.start(SCRIPT, args, [], own)));
}

test.runIf(process.platform === 'linux')('a process keeps to its memory limit', { timeout: 120_000 }, async () => {
  const unlimited = await peak();
  // What is kept from the forward pass alone.
  const activations = 4 * BATCH * LAYERS * WIDTHS.reduce((sum, width) => sum + width);
  expect(unlimited).toBeGreaterThan(activations);
  const limit = activations / 2;
  // Beside values there is what JavaScript takes. With buffers that stages keep from the forward pass it is a third more.
  expect(await peak(limit)).toBeLessThan(limit + limit / 8);
});
