import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAfterFirst, outputOf, Programs, seeded } from '@adakit/fixtures/programs';
import { emitterOf, Graph, modelFromGraph, mse, readModel, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TrainingSession } from './index.js';

// ADAKIT_KILLS=300 npm run test:slow packages/runner-onnx/src/process
const KILLS = Number(process.env.ADAKIT_KILLS ?? 3);

let folder: string;
let programs: Programs;

// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-exports-'));
  programs = new Programs(join(import.meta.dirname, '..'), ['core', 'state', 'sgd', 'onnx', 'runner-onnx']);
  // All of it is compiled.
}, 300_000);

afterAll(() => {
  rmSync(folder, { recursive: true });
  programs.remove();
});

/** y = x·V·W + b; V and W are large enough for a file of their own, b is not. */
function model(): Uint8Array {
  const graph = new Graph('net');
  const e = emitterOf(graph);
  const weight = (name: string, dims: number[]) => graph.addInitializer(name, Tensor.filled('float32', dims, 0));
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, 200] });
  const y = e.add(e.matMul(e.matMul(x, weight('V', [200, 200])), weight('W', [200, 50])), weight('b', [50]));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

/** Exports models all of whose weights are the number of the step, in a file of their own or not. */
const exporting = `
  import { writeSync } from 'node:fs';
  import { mse } from '@adakit/onnx';
  import { TrainingSession } from '@adakit/runner-onnx';
  import { sgd } from '@adakit/sgd';
  const [model, path, first] = process.argv.slice(2);
  const session = await TrainingSession.create({ model, loss: mse(), optimizer: sgd({ lr: 0.1 }) });
  const state = await session.state();
  for (let step = Number(first); ; step++) {
    for (const { value } of Object.values(state.parameters)) value.data.fill(step);
    await session.load({ ...state, step });
    await session.exportModel(path, { externalData: step % 4 !== 0 });
    writeSync(1, step + '\\n'); // Synchronous: what is reported was done.
  }`;

/** The step that all weights of a model are of. */
async function stepOf(path: string): Promise<number> {
  const { graph } = await readModel(path);
  const values = graph.initializer.flatMap(({ rawData }) => [...new Float32Array(new Uint8Array(rawData).buffer)]);
  expect(values).toHaveLength(200 * 200 + 200 * 50 + 50);
  expect(new Set(values).size).toBe(1);
  return values[0];
}

test(
  `exports killed at ${KILLS} random moments leave a model with weights of one step`,
  { timeout: 3_600_000 },
  async () => {
    const [source, exports] = [join(folder, 'net.onnx'), join(folder, 'exports')];
    writeFileSync(source, model());
    const directory = mkdtempSync(exports);
    const path = join(directory, 'trained.onnx');
    const random = seeded(1);
    let [last, completions] = [0, 0];
    for (let i = 0; i < KILLS; i++) {
      const completed = await killAfterFirst(
        programs.start(exporting, [source, path, String(last + 1)]),
        random() * 100,
      );
      const step = await stepOf(path);
      expect(step).toBeGreaterThanOrEqual(Math.max(last, ...completed));
      last = step;
      completions += completed.length;
    }
    if (process.env.ADAKIT_KILLS !== undefined) console.log({ kills: KILLS, completions });

    // Whoever exports next clears up after all that were killed.
    const session = await TrainingSession.create({ model: path, loss: mse(), optimizer: sgd({ lr: 0.1 }) });
    await session.exportModel(path, { externalData: true });
    expect(readdirSync(directory)).toHaveLength(2);
    expect(await stepOf(path)).toBe(last);
    await session.exportModel(path);
    expect(readdirSync(directory)).toEqual(['trained.onnx']);
    expect(await stepOf(path)).toBe(last);
    await session.dispose();
  },
);

/** Trains in a worker until it is told to stop, and terminates the worker when it says that it has. */
const training = `
  import { once } from 'node:events';
  import { isMainThread, parentPort, Worker } from 'node:worker_threads';
  import { mse } from '@adakit/onnx';
  import { TrainingSession } from '@adakit/runner-onnx';
  import { sgd } from '@adakit/sgd';
  const [model] = process.argv.slice(2);
  if (isMainThread) {
    const worker = new Worker(new URL(import.meta.url), { argv: [model] });
    await once(worker, 'message');
    worker.postMessage('stop');
    const [steps] = await once(worker, 'message');
    await worker.terminate();
    console.log(steps > 0 ? 'stopped' : 'no step was taken');
  } else {
    const session = await TrainingSession.create({ model, loss: mse(), optimizer: sgd({ lr: 0.1 }) });
    parentPort.once('message', async () => {
      await session.dispose();
      parentPort.postMessage(session.stepCount);
    });
    const batch = {
      x: { data: new Float32Array(200), dims: [1, 200] },
      target: { data: new Float32Array(50), dims: [1, 50] },
    };
    for (;;) {
      try {
        const { step } = await session.step(batch);
        if (step === 1) parentPort.postMessage('begun');
      } catch (error) {
        if (error.code === 'disposed') break;
        throw error;
      }
    }
  }`;

test('a worker that disposes of its session before it is terminated leaves the process alive', async () => {
  const source = join(folder, 'worker.onnx');
  writeFileSync(source, model());
  for (let i = 0; i < 3; i++) expect(await outputOf(programs.start(training, [source]))).toBe('stopped\n');
});
