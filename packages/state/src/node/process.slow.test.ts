import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TensorData, TrainingState } from '@adakit/core';
import { killAfterFirst, outputOf, Programs, seeded } from '@adakit/fixtures/programs';
import { encodeState } from '../file/state-file.js';
import { Checkpoints, readState, writeState, writeWithData } from './index.js';

// ADAKIT_KILLS=300 npm run test:slow packages/state/src/node/process
const KILLS = Number(process.env.ADAKIT_KILLS ?? 15);

let scratch: string;
let programs: Programs;

// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'adakit-process-'));
  programs = new Programs(join(import.meta.dirname, '../..'), ['core', 'state']);
}, 300_000);

afterAll(() => {
  rmSync(scratch, { recursive: true });
  programs.remove();
});

/** The state of step n: every number in it follows from n. Its source is part of programs below, so it imports nothing. */
function stateAt(step: number): TrainingState {
  const values = (length: number, offset: number): TensorData => {
    const data = Float32Array.from({ length }, (_, i) => step * 1000 + offset + (i % 1000));
    return { dtype: 'float32', shape: [length], data };
  };
  return {
    optimizer: { kind: 'rule', name: 'sgd', hyperparameters: {}, initial: {}, schedules: {} },
    step,
    parameters: {
      w: { value: values(100_000, 0), step, slots: { m: values(100_000, 1) } },
      b: { value: values(10, 2), step, slots: {} },
    },
    origin: 'js',
  };
}

const MiB = 2 ** 20;

describe.skipIf(process.platform !== 'linux')('memory stays within 1.1 times the largest tensor and 64 MiB', () => {
  const TENSOR = 32 * MiB;
  const TENSORS = 8;
  const limit = (1.1 * TENSOR + 64 * MiB) / MiB;

  /** Peak memory of an operation, over the memory before it, in MiB. */
  async function peak(name: string, operation: string): Promise<number> {
    const program = `
      import { readFileSync, writeFileSync } from 'node:fs';
      import { openState, readState, writeState, writeStateFile } from '@adakit/state/node';
      const memory = (entry) => Number(new RegExp(entry + ':\\\\s*(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
      const path = process.argv[2];
      const names = Array.from({ length: ${TENSORS} }, (_, i) => 'w' + i);
      const optimizer = { kind: 'rule', name: 'sgd', hyperparameters: {}, initial: {}, schedules: {} };
      const tensor = (i) => ({ dtype: 'float32', shape: [${TENSOR / 4}], data: new Float32Array(${TENSOR / 4}).fill(i + 1) });
      const measure = async (operation) => {
        globalThis.gc();
        writeFileSync('/proc/self/clear_refs', '5'); // The peak starts anew.
        const before = memory('VmRSS');
        await operation();
        console.log(memory('VmHWM') - before);
      };
      ${operation}`;
    const child = programs.start(program, [join(scratch, 'large.safetensors')], ['--expose-gc']);
    const mib = Number(await outputOf(child));
    if (process.env.ADAKIT_KILLS !== undefined) console.log({ name, peakMiB: mib, limitMiB: limit });
    // A child whose peak is no higher than before it began may even report a little less than nothing.
    expect(Number.isFinite(mib)).toBe(true);
    return mib;
  }

  const fetched = `
    const document = { formatVersion: 2, optimizer, step: 1, rules: [], parameters: new Map(), origin: { backend: 'js' } };
    const { data } = tensor(0);
    const bytes = () => { data.fill(1); return new Uint8Array(data.buffer); };
    const sources = new Map(names.map((name) => ['param/' + name, { dtype: 'F32', shape: data.length === 0 ? [] : [data.length], bytes }]));`;
  const held = `
    const parameters = Object.fromEntries(names.map((name, i) => [name, { value: tensor(i), step: 1, slots: {} }]));
    const state = { optimizer, step: 1, parameters, origin: 'js' };`;

  test.each([
    [
      'while writing tensors that are fetched one by one',
      0,
      `${fetched} await measure(() => writeStateFile(path, document, sources));`,
    ],
    [
      'while writing them in shards',
      0,
      `${fetched} await measure(() => writeStateFile(path, document, sources, { shardBytes: ${3 * TENSOR} }));`,
    ],
    [
      'while verifying',
      0,
      `await measure(async () => { const state = await openState(path); await state.verify({ finite: true }); await state.close(); });`,
    ],
    [
      'while reading one tensor',
      0,
      `await measure(async () => { const state = await openState(path); await state.read('param/w3'); await state.close(); });`,
    ],
    ['while writing a state from memory', 0, `${held} await measure(() => writeState(path, state));`],
    [
      'while reading a state, over the state',
      (TENSORS * TENSOR) / MiB,
      `await measure(async () => { globalThis.kept = await readState(path); });`,
    ],
  ])('%s', async (name, state, operation) => {
    expect((await peak(name, operation)) - state).toBeLessThan(limit);
  });
});

test('a state that another process is writing is refused to this one, until that has ended', async () => {
  const directory = mkdtempSync(join(scratch, 'two-'));
  const path = join(directory, 'state.safetensors');
  const child = programs.start(
    `import { writeStateFile } from '@adakit/state/node';
    ${stateAt.toString()}
    const { optimizer } = stateAt(1);
    const document = { formatVersion: 2, optimizer, step: 1, rules: [], parameters: new Map(), origin: { backend: 'js' } };
    setInterval(() => undefined, 1000);
    const bytes = () => { console.log('writing'); return new Promise(() => undefined); };
    await writeStateFile(process.argv[2], document, new Map([['param/w', { dtype: 'F32', shape: [1], bytes }]]));`,
    [path],
  );
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  await expect(writeState(path, stateAt(2))).rejects.toMatchObject({
    code: 'other-writer',
    file: path,
    message: expect.stringContaining(`process ${child.pid} on this machine`) as string,
  });
  expect(readdirSync(directory)).toHaveLength(2); // Its lock and its half of a file, but none of this process.
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  await writeState(path, stateAt(2));
  expect(readdirSync(directory)).toEqual(['state.safetensors']);
});

test('a thread that is ended in the middle of a save does not keep others of its process out', async () => {
  const path = join(mkdtempSync(join(scratch, 'thread-')), 'state.safetensors');
  const program = `
    import { isMainThread, parentPort, Worker } from 'node:worker_threads';
    import { writeState, writeStateFile } from '@adakit/state/node';
    ${stateAt.toString()}
    const path = process.argv[2];
    if (isMainThread) {
      const worker = new Worker(new URL(import.meta.url), { argv: [path] });
      await new Promise((resolve) => worker.once('message', resolve));
      await writeState(path, stateAt(1)).catch(({ code }) => console.log(code));
      await worker.terminate();
      await writeState(path, stateAt(2));
      console.log('saved');
    } else {
      const { optimizer } = stateAt(1);
      const document = { formatVersion: 2, optimizer, step: 1, rules: [], parameters: new Map(), origin: { backend: 'js' } };
      const bytes = () => { parentPort.postMessage('writing'); return new Promise(() => undefined); };
      setInterval(() => undefined, 1000);
      await writeStateFile(path, document, new Map([['param/w', { dtype: 'F32', shape: [1], bytes }]]));
    }`;
  expect(await outputOf(programs.start(program, [path]))).toBe('other-writer\nsaved\n');
  expect((await readState(path)).step).toBe(2);
});

describe(`killed at ${KILLS} random moments`, () => {
  const common = `
    import { writeSync } from 'node:fs';
    import { Checkpoints, writeState, writeWithData } from '@adakit/state/node';
    ${stateAt.toString()}
    const [directory, first] = process.argv.slice(2);
    const report = (text) => writeSync(1, text + '\\n'); // Synchronous: what is reported was done.
    `;
  const keeping = (options: string): string => `${common}
    const checkpoints = await Checkpoints.open(directory, { keep: 2, ${options} });
    for (let step = Number(first); ; step++) {
      await checkpoints.save(stateAt(step), { metric: 1 / step });
      report(step);
    }`;
  const replacing = (options: string): string => `${common}
    for (let step = Number(first); ; step++) {
      await writeState(directory + '/state.safetensors', stateAt(step), { ${options} });
      report(step);
    }`;
  const exporting = `${common}
    for (let step = Number(first); ; step++) {
      const data = step % 5 === 0 ? [] : [new Uint8Array(200_000).fill(step), new Uint8Array(200_000).fill(step)];
      await writeWithData(directory + '/model.onnx', data, (name) => Buffer.from(step + ' ' + name));
      report(step);
    }`;
  const checkState = (state: TrainingState | undefined): number => {
    if (state === undefined) return 0;
    expect(Buffer.from(encodeState(state)).equals(encodeState(stateAt(state.step)))).toBe(true);
    return state.step;
  };
  const newest = async (directory: string): Promise<number> =>
    checkState((await (await Checkpoints.open(directory)).latest())?.state);
  const only = async (directory: string): Promise<number> =>
    checkState(await readState(join(directory, 'state.safetensors')));
  const exported = (directory: string): number => {
    const [step, name] = readFileSync(join(directory, 'model.onnx'), 'utf8').split(' ');
    const data = Number(step) % 5 === 0 ? [] : readFileSync(join(directory, name));
    expect(new Set(data)).toEqual(new Set(data.length === 0 ? [] : [Number(step) % 256]));
    return Number(step);
  };
  const saveNext = async (directory: string, step: number): Promise<void> => {
    await (await Checkpoints.open(directory, { keep: 1 })).save(stateAt(step));
  };
  const writeNext = (directory: string, step: number): Promise<void> =>
    writeState(join(directory, 'state.safetensors'), stateAt(step));
  const exportNext = (directory: string, step: number): Promise<unknown> =>
    writeWithData(join(directory, 'model.onnx'), [], () => Buffer.from(String(step)));
  const writers = [
    ['checkpoints', keeping(`best: 'min'`), newest, saveNext],
    ['checkpoints in shards', keeping('shardBytes: 400_000'), newest, saveNext],
    ['one state, replaced', replacing(''), only, writeNext],
    ['one state, in shards or not', replacing('shardBytes: step % 3 === 0 ? 2 ** 30 : 400_000'), only, writeNext],
    ['a file that names its data', exporting, exported, exportNext],
  ] as const;

  test.each(writers)(
    'a process that writes %s loses none',
    { timeout: 3_600_000 },
    async (name, program, load, next) => {
      const directory = mkdtempSync(join(scratch, 'kill-'));
      const random = seeded(name.length);
      const kills = Math.ceil(KILLS / writers.length);
      let [saves, interrupted, last] = [0, 0, 0];
      for (let i = 0; i < kills; i++) {
        const child = programs.start(program, [directory, String(last + 1)]);
        const completed = await killAfterFirst(child, random() * 250);
        if (readdirSync(directory).some((file) => file.includes('.adakit-'))) interrupted++;
        const step = await load(directory);
        expect(step).toBeGreaterThanOrEqual(Math.max(last, ...completed));
        saves += completed.length;
        last = step;
      }
      if (process.env.ADAKIT_KILLS !== undefined) console.log({ name, kills, saves, interrupted });

      // The next one clears up after all that were killed.
      await next(directory, last + 1);
      expect(readdirSync(directory)).toHaveLength(1);
    },
  );
});
