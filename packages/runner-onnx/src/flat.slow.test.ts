import { join } from 'node:path';
import { outputOf, Programs } from '@adakit/fixtures/programs';
import { afterAll, beforeAll, expect, test } from 'vitest';

let programs: Programs;
// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  programs = new Programs(join(import.meta.dirname, '..'), ['core', 'state', 'sgd', 'onnx', 'runner-onnx']);
}, 300_000);
afterAll(() => {
  programs.remove();
});

/**
 * A process that takes steps, and by how much its memory grows in a period of them, with garbage collected: in the period of least
 * growth. What a step leaves, every period has; code that is compiled once, only some.
 */
const SCRIPT = `
import { createRequire } from 'node:module';
import { sgd } from '@adakit/sgd';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { mse, TrainingSession } from '@adakit/runner-onnx';
const [runtime, steps] = process.argv.slice(2);
const graph = new Graph('small');
const e = emitterOf(graph);
let x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 8] });
for (const name of ['a', 'b']) x = e.node('Tanh', [e.matMul(x, graph.addInitializer(name, Tensor.filled('float32', [8, 8], 0.1)))]);
graph.rename(x, 'y');
graph.outputs.push(x);
const model = writeModel(modelFromGraph(graph));
const session = await TrainingSession.create({ model, loss: mse(), optimizer: sgd({ lr: 1e-3 }), runtime });
const tensor = { data: new Float32Array(32).fill(0.5), dims: [4, 8] };
async function used() {
  for (let step = 0; step < Number(steps); step++) await session.step({ x: tensor, target: tensor });
  for (let time = 0; time < 3; time++) {
    globalThis.gc();
    await new Promise((done) => setTimeout(done, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return { script: heapUsed + external, native: allocated() };
}
// What malloc has given and not got back, where the C library tells.
let allocated = () => 0;
if (process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime !== undefined) {
  const koffi = createRequire(import.meta.url)('koffi');
  const names = ['arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost'];
  const info = koffi.struct('mallinfo2', Object.fromEntries(names.map((name) => [name, 'size_t'])));
  const mallinfo2 = koffi.load('libc.so.6').func('mallinfo2', info, []);
  allocated = () => Number(mallinfo2().uordblks);
}
// Code is compiled, and tables grow, in the first ones.
await used();
const looks = [await used()];
for (let period = 0; period < 4; period++) looks.push(await used());
const least = (of) => Math.min(...looks.slice(1).map((look, i) => look[of] - looks[i][of]));
console.log(JSON.stringify({ script: least('script'), native: least('native') }));
await session.dispose();
`;

const STEPS = 5000;

test.each(['native', 'node'])('steps leave nothing behind (%s)', { timeout: 120_000 }, async (runtime) => {
  const output = await outputOf(programs.start(SCRIPT, [runtime, String(STEPS)], ['--expose-gc']));
  const { script, native } = JSON.parse(output) as { readonly script: number; readonly native: number };
  // An object takes 16 bytes, and the list or the chain that it is in 8.
  expect(script).toBeLessThan(24 * STEPS);
  // Of malloc's least block, 32 bytes, a third of the steps may leave one: what is collected late is among them.
  expect(native).toBeLessThan(10 * STEPS);
});
