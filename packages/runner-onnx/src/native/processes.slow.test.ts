import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf, Programs } from '@adakit/fixtures/programs';
import { afterAll, beforeAll, expect, it } from 'vitest';

let programs: Programs;
// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  programs = new Programs(join(import.meta.dirname, '../..'), ['adam', 'core', 'state', 'onnx', 'runner-onnx']);
}, 300_000);
afterAll(() => {
  programs.remove();
});

/** What programs have in common: the binding's modules, and a model whose runs take a while. */
const start = `
  import { Emitter, Graph, modelFromGraph, writeModel } from '@adakit/onnx';
  import { setTimeout } from 'node:timers/promises';
  const native = (name) => import('./node_modules/@adakit/runner-onnx/src/native/' + name + '.js');
  const [{ nativeLibrary }, { NativeSession }, { HostValue }] =
    await Promise.all(['library', 'native-session', 'value'].map(native));
  const graph = new Graph('powers');
  const x = graph.addInput('x', { dtype: 'float32', shape: [256, 256] });
  let y = x;
  for (let i = 0; i < 50; i++) y = new Emitter(graph).node('MatMul', [y, x]);
  Object.assign(y, { dtype: 'float32', shape: [256, 256] });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  const session = await NativeSession.create(
    nativeLibrary(), writeModel(modelFromGraph(graph)), { name: 'cpu', options: {} });
  const identity = () => Float32Array.from({ length: 65536 }, (_, i) => +(i % 257 === 0));
  const say = (text) => process.stdout.write(text + '\\n');
`;

/** Runs a program to its end. A crash shows as a signal. */
async function run(
  program: string,
  options: readonly string[] = [],
): Promise<{ output: string; end: number | string }> {
  const child = programs.start(start + program, [], options);
  const output = await outputOf(child);
  return { output, end: child.signalCode ?? child.exitCode ?? 'running' };
}

it('keeps library and tensors while the garbage collector runs', async () => {
  const program = `
    const binding = session.bind();
    const bind = () => {
      binding.bindInput('x', new HostValue(session.library, 'float32', [256, 256], identity()));
      binding.bindOutput('y', new HostValue(session.library, 'float32', [256, 256], new Float32Array(65536)));
    };
    bind();
    for (let i = 0; i < 5; i++) {
      gc();
      // What takes the place of memory that was given up.
      const waste = Array.from({ length: 20 }, () => new Float32Array(65536).fill(NaN));
      gc();
      await session.runBinding(binding);
      if (waste.length !== 20) throw new Error();
    }
    binding.bindNewOutput('y');
    await session.runBinding(binding);
    const made = binding.newOutputs().y.data;
    say(made.every((value, i) => value === +(i % 257 === 0)) ? 'right' : 'wrong');`;
  expect(await run(program, ['--expose-gc'])).toEqual({ output: 'right\n', end: 0 });
});

it('lets the process end during a run, by itself or by an error', async () => {
  const running = `
    const { Tensor } = (await import('onnxruntime-node')).default;
    void session.run({ x: new Tensor('float32', identity(), [256, 256]) });
    await setTimeout(1);
    say('running');`;
  expect(await run(`${running} process.exit(7);`)).toEqual({ output: 'running\n', end: 7 });
  expect(await run(running)).toEqual({ output: 'running\n', end: 0 });
});

it('runs in a worker, which may be ended during a run', async () => {
  const program = `
    const { isMainThread, parentPort, Worker } = await import('node:worker_threads');
    const { Tensor } = (await import('onnxruntime-node')).default;
    const run = () => session.run({ x: new Tensor('float32', identity(), [256, 256]) });
    if (isMainThread) {
      const worker = new Worker(new URL(import.meta.url));
      worker.on('message', (text) => { say(text); if (text === 'again') void worker.terminate(); });
      await new Promise((resolve) => worker.once('exit', resolve));
      say('main ' + (await run()).y.data[0]);
    } else {
      parentPort.postMessage('worker ' + (await run()).y.data[0]);
      const again = run();
      parentPort.postMessage('again');
      await again;
      await setTimeout(60_000);
    }`;
  expect(await run(program)).toEqual({ output: 'worker 1\nagain\nmain 1\n', end: 0 });
});

it('blocks the event loop rather than crash where another package has fixed the stacks', async () => {
  const program = `
    import koffi from 'koffi';
    koffi.load(process.platform === 'win32' ? 'kernel32.dll' : null);
    const { TrainingSession, mse } = await import('@adakit/runner-onnx');
    const { nativeLibrary } = await import('./node_modules/@adakit/runner-onnx/src/native/library.js');
    process.stdout.write(nativeLibrary().onlySync + '\\n');`;
  const child = programs.start(program);
  expect(await outputOf(child)).toContain('another package has loaded a library through koffi before');
  expect(child.exitCode).toBe(0);
});

it('does without koffi, and says how to get it', async () => {
  const program = `
    import Module from 'node:module';
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (name, ...rest) => {
      if (name === 'koffi') throw new Error('Cannot find module koffi');
      return resolve(name, ...rest);
    };
    const { chooseRuntime } = await import('./node_modules/@adakit/runner-onnx/src/runtime/choose-runtime.js');
    process.stdout.write(JSON.stringify(chooseRuntime({}, [{ name: 'cpu', options: {} }], {}).info));`;
  expect(JSON.parse(await outputOf(programs.start(program)))).toEqual({
    name: 'node',
    why:
      'koffi, which the native runtime calls ONNX Runtime with, cannot be loaded (Cannot find module koffi); ' +
      'npm install koffi',
  });
});

/** A renderer in software, of Debian's chromium; libvulkan1, which finds it, does not come with it. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const VULKAN = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/libvulkan.so.1`);

it.skipIf(!existsSync(SWIFTSHADER) || !VULKAN.some(existsSync))('keeps the state on a WebGPU device', async () => {
  const program = `
    process.env.VK_ICD_FILENAMES = '${SWIFTSHADER}';
    const { adam } = await import('@adakit/adam');
    const { mse, TrainingSession } = await import('@adakit/runner-onnx');
    const { emitterOf, symbol, Tensor } = await import('@adakit/onnx');
    const net = new Graph('net');
    const input = net.addInput('x', { dtype: 'float32', shape: [symbol('n'), 8] });
    const weight = net.addInitializer('w', Tensor.of('float32', [8, 4], Float32Array.from({ length: 32 }, (_, i) => Math.sin(i))));
    const output = emitterOf(net).node('Tanh', [emitterOf(net).matMul(input, weight)]);
    net.outputs.push(output);
    const batch = {
      x: { data: Float32Array.from({ length: 16 }, (_, i) => Math.cos(i)), dims: [2, 8] },
      target: { data: Float32Array.from({ length: 8 }, (_, i) => Math.sin(i)), dims: [2, 4] },
    };
    const results = [];
    for (const provider of ['cpu', 'webgpu']) {
      const trained = await TrainingSession.create({
        model: writeModel(modelFromGraph(net)), loss: mse(), optimizer: adam({ lr: 0.01 }), update: 'graph',
        runtime: 'native', executionProviders: [provider], session: { logSeverityLevel: 3 } });
      const losses = [];
      for (let i = 0; i < 6; i++) losses.push((await trained.step(batch)).loss);
      const { parameters } = await trained.state();
      const { state, copiedBy } = trained.runtime;
      results.push({ state, copiedBy, losses, w: [...parameters.w.value.data] });
      await trained.dispose();
    }
    say(JSON.stringify(results));`;
  const { output } = await run(program);
  const [cpu, webgpu] = JSON.parse(output) as { state: string; copiedBy: string; losses: number[]; w: number[] }[];
  expect(webgpu).toMatchObject({ state: 'device', copiedBy: 'CopyTensors' });
  // Sums of 8 products in another order and another tanh: a few units in the last place of numbers up to 1.
  const gap = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));
  expect(gap(cpu.losses, webgpu.losses)).toBeLessThan(1e-6);
  expect(gap(cpu.w, webgpu.w)).toBeLessThan(1e-5);
});
