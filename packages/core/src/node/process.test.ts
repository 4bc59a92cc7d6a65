import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeState } from '../state-file/state-file.js';
import type { TrainingState } from '../state/training-state.js';
import type { TensorData } from '../tensor/tensor-data.js';
import { Checkpoints, readState, writeState } from './index.js';

// ADAKIT_KILLS=300 npx vitest run packages/core/src/node/process.test.ts
const KILLS = Number(process.env.ADAKIT_KILLS ?? 15);

// Processes of their own, whose memory can be measured and which can be killed. They run this package as JavaScript.

const source = join(import.meta.dirname, '..');
const cache = join(source, '../.cache');
let scratch: string;
let code: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'adakit-process-'));
  mkdirSync(cache, { recursive: true });
  code = mkdtempSync(join(cache, 'core-')); // Inside the package, so that its dependencies are found.
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
    const target = join(code, file.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
    });
    writeFileSync(target, outputText);
  }
});

afterAll(() => {
  rmSync(scratch, { recursive: true });
  rmSync(code, { recursive: true });
});

function start(program: string, ...args: string[]): ChildProcess {
  const file = join(code, 'program.mjs');
  writeFileSync(file, program);
  return spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What a process has written when it has ended. */
async function outputOf(child: ChildProcess): Promise<string> {
  let output = '';
  child.stdout?.on('data', (data: Buffer) => (output += data.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  return output;
}

/** The state of step n: every number in it follows from n. Its source is part of programs below, so it imports nothing. */
function stateAt(step: number): TrainingState {
  const values = (length: number, offset: number): TensorData => {
    const data = Float32Array.from({ length }, (_, i) => step * 1000 + offset + (i % 1000));
    return { dtype: 'float32', shape: [length], data };
  };
  const programHash = '0'.repeat(32);
  return {
    optimizer: { name: 'sgd', hyperparameters: {}, initial: {}, groups: [], schedules: {}, programHash },
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
      import { openState, readState, writeState, writeStateFile } from './node/index.js';
      const memory = (entry) => Number(new RegExp(entry + ':\\\\s*(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
      const path = process.argv[2];
      const names = Array.from({ length: ${TENSORS} }, (_, i) => 'w' + i);
      const optimizer = { name: 'sgd', hyperparameters: {}, initial: {}, groups: [], schedules: {}, programHash: '0'.repeat(32) };
      const tensor = (i) => ({ dtype: 'float32', shape: [${TENSOR / 4}], data: new Float32Array(${TENSOR / 4}).fill(i + 1) });
      const measure = async (operation) => {
        globalThis.gc();
        writeFileSync('/proc/self/clear_refs', '5'); // The peak starts anew.
        const before = memory('VmRSS');
        await operation();
        console.log(memory('VmHWM') - before);
      };
      ${operation}`;
    const file = join(code, 'memory.mjs');
    writeFileSync(file, program);
    const child = spawn(process.execPath, ['--expose-gc', file, join(scratch, 'large.safetensors')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const mib = Number(await outputOf(child));
    if (process.env.ADAKIT_KILLS !== undefined) console.log({ name, peakMiB: mib, limitMiB: limit });
    // A child whose peak is no higher than before it began may even report a little less than nothing.
    expect(Number.isFinite(mib)).toBe(true);
    return mib;
  }

  const fetched = `
    const document = { formatVersion: 1, optimizer, step: 1, parameterSteps: new Map(), origin: { backend: 'js' } };
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

describe(`killed at ${KILLS} random moments`, () => {
  const common = `
    import { writeSync } from 'node:fs';
    import { Checkpoints, writeState } from './node/index.js';
    ${stateAt.toString()}
    const [directory, first] = process.argv.slice(2);
    const report = (text) => writeSync(1, text + '\\n'); // Synchronous: what is reported was done.
    report('ready');`;
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
  const newest = async (directory: string): Promise<TrainingState | undefined> =>
    (await (await Checkpoints.open(directory)).latest())?.state;
  const only = async (directory: string): Promise<TrainingState | undefined> => {
    const state = join(directory, 'state.safetensors');
    return readdirSync(directory).some((name) => name.startsWith('state.safetensors')) ? readState(state) : undefined;
  };
  const programs = [
    ['checkpoints', keeping(`best: 'min'`), newest],
    ['checkpoints in shards', keeping('shardBytes: 400_000'), newest],
    ['one state, replaced', replacing(''), only],
    ['one state, in shards or not', replacing('shardBytes: step % 3 === 0 ? 2 ** 30 : 400_000'), only],
  ] as const;

  test.each(programs)('a process that writes %s loses none', { timeout: 3_600_000 }, async (name, program, load) => {
    const directory = mkdtempSync(join(scratch, 'kill-'));
    const random = seeded(name.length);
    let [saves, interrupted, last] = [0, 0, 0];
    for (let i = 0; i < Math.ceil(KILLS / programs.length); i++) {
      const child = start(program, directory, String(last + 1));
      await new Promise((resolve) => child.stdout?.once('readable', resolve)); // It is ready.
      const output = outputOf(child);
      await setTimeout(random() * 250);
      child.kill('SIGKILL');
      const completed = (await output)
        .split('\n')
        .filter((line) => /^\d+$/.test(line))
        .map(Number);
      if (readdirSync(directory).some((file) => file.endsWith('.adakit-tmp'))) interrupted++;

      const state = await load(directory);
      const step = state?.step ?? 0;
      expect(step).toBeGreaterThanOrEqual(Math.max(last, ...completed));
      if (state !== undefined) expect(Buffer.from(encodeState(state)).equals(encodeState(stateAt(step)))).toBe(true);
      saves += completed.length;
      last = step;
    }
    if (process.env.ADAKIT_KILLS !== undefined)
      console.log({ name, kills: Math.ceil(KILLS / programs.length), saves, interrupted });
    expect(saves).toBeGreaterThan(0);

    // The next save clears up after all the killed ones.
    if (load === newest) await (await Checkpoints.open(directory, { keep: 1 })).save(stateAt(last + 1));
    else await writeState(join(directory, 'state.safetensors'), stateAt(last + 1));
    expect(readdirSync(directory)).toHaveLength(1);
  });
});

/** A linear congruential generator (Numerical Recipes), from 0 to 1. */
function seeded(state: number): () => number {
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}
