import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf, Programs } from '@adakit/fixtures/programs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let programs: Programs;
// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  programs = new Programs(join(import.meta.dirname, '..'), ['core', 'state', 'sgd', 'onnx', 'runner-onnx']);
}, 300_000);
afterAll(() => {
  programs.remove();
});

/** What programs have in common: models, sessions, and what the system says of the process. */
const start = `
import { createRequire } from 'node:module';
import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { sgd } from '@adakit/sgd';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { mse, TrainingSession } from '@adakit/runner-onnx';
const [runtime] = process.argv.slice(2);
function chain(width) {
  const graph = new Graph('chain');
  const e = emitterOf(graph);
  let x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), width] });
  for (const name of ['a', 'b']) {
    x = e.node('Tanh', [e.matMul(x, graph.addInitializer(name, Tensor.filled('float32', [width, width], 0.01)))]);
  }
  graph.rename(x, 'y');
  graph.outputs.push(x);
  return writeModel(modelFromGraph(graph));
}
const small = chain(8);
const make = (options = {}) => TrainingSession.create({
  model: small, loss: mse(), optimizer: sgd({ lr: 1e-3 }), runtime, session: { intraOpNumThreads: 2 }, ...options });
const batchOf = (width) => {
  const tensor = { data: new Float32Array(4 * width).fill(0.5), dims: [4, width] };
  return { x: tensor, target: tensor };
};
const batch = batchOf(8);
async function collect(times = 3) {
  for (let time = 0; time < times; time++) {
    // What a weak reference has given lives until the end of the task.
    await setTimeout(10);
    globalThis.gc();
    await setTimeout(10);
  }
}
const entries = (name) => process.platform === 'linux' ? readdirSync('/proc/self/' + name).length : 0;
const say = (value) => process.stdout.write(JSON.stringify(value));
`;

async function said(program: string, args: readonly string[], variables = {}): Promise<unknown> {
  const child = programs.start(start + program, args, ['--expose-gc'], variables);
  const output = await outputOf(child);
  expect([child.signalCode, child.exitCode]).toEqual([null, 0]);
  return JSON.parse(output);
}

const SESSIONS = 20;

test.each(['native', 'node'])(
  'sessions that are disposed of leave nothing behind (%s)',
  { timeout: 300_000 },
  async (runtime) => {
    // As for steps: what a session leaves, every period has; code that is compiled once, only some.
    const program = `
    let allocated = () => 0;
    if (process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime !== undefined) {
      const koffi = createRequire(import.meta.url)('koffi');
      koffi.config({ sync_stack_size: 2 ** 23, async_stack_size: 2 ** 23 });
      const names = ['arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost'];
      const info = koffi.struct('mallinfo2', Object.fromEntries(names.map((name) => [name, 'size_t'])));
      const mallinfo2 = koffi.load('libc.so.6').func('mallinfo2', info, []);
      allocated = () => Number(mallinfo2().uordblks);
    }
    async function look() {
      for (let i = 0; i < ${SESSIONS}; i++) {
        const session = await make();
        await session.step(batch);
        await session.evaluate(batch);
        await session.predict({ x: batch.x });
        await session.dispose();
      }
      await collect();
      const { heapUsed, external } = process.memoryUsage();
      return { script: heapUsed + external, native: allocated(), files: entries('fd'), threads: entries('task') };
    }
    await look();
    const looks = [await look()];
    for (let period = 0; period < 4; period++) looks.push(await look());
    const least = (of) => Math.min(...looks.slice(1).map((look, i) => look[of] - looks[i][of]));
    say(Object.fromEntries(['script', 'native', 'files', 'threads'].map((of) => [of, least(of)])));`;
    const { script, native, files, threads } = (await said(program, [runtime])) as Record<string, number>;
    expect([files, threads]).toEqual([0, 0]);
    expect(script).toBeLessThan(500 * SESSIONS);
    expect(native).toBeLessThan(1500 * SESSIONS);
  },
);

test.each(['native', 'node'])(
  'sessions that are disposed of hold no memory (%s)',
  { timeout: 60_000 },
  async (runtime) => {
    const program = `
    const memories = [];
    const { Memory } = WebAssembly;
    WebAssembly.Memory = class extends Memory {
      constructor(description) {
        super(description);
        memories.push(new WeakRef(this));
      }
    };
    const large = batchOf(1024);
    const session = await make({ model: chain(1024) });
    for (let i = 0; i < 3; i++) await session.step(large);
    await session.evaluate(large);
    await session.dispose();
    for (let i = 0; i < 100 && memories.some((memory) => memory.deref() !== undefined); i++) await collect(1);
    const left = memories.filter((memory) => memory.deref() !== undefined).length;
    say([memories.length, left, session.stepCount]);`;
    expect(await said(program, [runtime])).toEqual([1, 0, 3]);
  },
);

describe('sessions that nobody disposes of', () => {
  test.each(['native', 'node'])('are released when they are forgotten (%s)', { timeout: 120_000 }, async (runtime) => {
    const program = `
      const kept = await make();
      await kept.step(batch);
      await collect();
      const before = entries('task');
      async function forget() {
        for (const update of ['fused', 'graph']) {
          for (let i = 0; i < 10; i++) {
            const session = await make({ update });
            await session.step(batch);
            await session.predict({ x: batch.x });
          }
        }
      }
      await forget();
      const most = entries('task');
      for (let i = 0; i < 100 && entries('task') > before; i++) await collect(1);
      const { step } = await kept.step(batch);
      say({ made: most - before, left: entries('task') - before, step });`;
    const { made, left, step } = (await said(program, [runtime])) as Record<string, number>;
    expect([left, step]).toEqual([0, 2]);
    // A thread of each, of predictions too; some may have been collected before.
    if (process.platform === 'linux') expect(made).toBeGreaterThan(5);
  });

  test('are released with the threads that update parameters', { timeout: 120_000 }, async () => {
    const program = `
      const model = chain(1024);
      const large = batchOf(1024);
      const kept = await make();
      await collect();
      const before = entries('task');
      async function forget() {
        const session = await make({ model });
        for (let i = 0; i < 5; i++) {
          await session.step(large);
          await setTimeout(50);
        }
        return session.runtime.updateThreads;
      }
      const threads = [await forget(), await forget()];
      for (let i = 0; i < 100 && entries('task') > before; i++) await collect(1);
      say({ threads, left: entries('task') - before });`;
    expect(await said(program, ['native'])).toEqual({ threads: [2, 2], left: 0 });
  });

  test('may be forgotten while they compute', { timeout: 120_000 }, async () => {
    const program = `
      const model = chain(1024);
      const large = batchOf(1024);
      let ended = 0;
      async function forget(update) {
        const session = await make({ model, update });
        await session.step(large);
        void session.step(large).then(() => ended++);
        void session.predict({ x: large.x }).then(() => ended++);
      }
      for (let i = 0; i < 6; i++) {
        await forget(i % 2 === 0 ? 'fused' : 'graph');
        await collect(2);
      }
      for (let i = 0; i < 200 && ended < 12; i++) await collect(1);
      await collect();
      say(ended);`;
    expect(await said(program, ['native'])).toBe(12);
  });

  test.each(['native', 'node'])('do not keep the process (%s)', { timeout: 60_000 }, async (runtime) => {
    const program = `
      const session = await make({ model: chain(1024) });
      for (let i = 0; i < 3; i++) await session.step(batchOf(1024));
      globalThis.session = session;
      say('done');`;
    expect(await said(program, [runtime])).toBe('done');
  });
});

test.each(['native', 'node'])(
  'sessions that cannot be made leave nothing (%s)',
  { timeout: 120_000 },
  async (runtime) => {
    const program = `
    const graph = new Graph('unknown');
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 8] });
    const y = emitterOf(graph).matMul(x, graph.addInitializer('a', Tensor.filled('float32', [8, 8], 1)));
    graph.rename(y, 'y');
    graph.outputs.push(y);
    const fine = writeModel(modelFromGraph(graph));
    const attempts = [
      { session: { graphOptimizationLevel: 'all', freeDimensionOverrides: { batch: 4 }, optimizedModelFilePath: '/nowhere/x', logSeverityLevel: 4 } },
      { model: fine, optimizer: sgd({ lr: 1e-3 }), train: ['nothing'] },
      { nonFinite: 'scaleBack' },
    ];
    async function fail() {
      const codes = [];
      for (const attempt of attempts) codes.push(await make(attempt).then(async (made) => { await made.dispose(); return 'made'; }, ({ code }) => code));
      return codes;
    }
    const codes = await fail();
    await collect();
    const before = [entries('task'), entries('fd')];
    for (let i = 0; i < 10; i++) await fail();
    say({ codes, left: [entries('task') - before[0], entries('fd') - before[1]] });`;
    const { codes, left } = (await said(program, [runtime])) as { codes: string[]; left: number[] };
    expect(codes).toEqual(['refused-model', 'unknown-parameter', 'invalid-plan']);
    expect(left).toEqual([0, 0]);
  },
);

test.each(['native', 'node'])(
  'ONNX Runtime tells its makers nothing, unless somebody has said so (%s)',
  { timeout: 60_000 },
  async (runtime) => {
    const folder = mkdtempSync(join(tmpdir(), 'adakit-telemetry-'));
    try {
      const program = `
        const session = await make();
        await session.step(batch);
        await session.dispose();
        say(process.env.ORT_DISABLE_TELEMETRY);`;
      const variables = { HOME: folder, XDG_CACHE_HOME: folder, TMPDIR: folder };
      expect(await said(program, [runtime], variables)).toBe('1');
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
