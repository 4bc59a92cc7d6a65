import { setTimeout } from 'node:timers/promises';
import { adam } from '@adakit/adam';
import {
  makePlan,
  Run,
  tensor32,
  wasmDevice,
  type KernelThreads,
  type TensorData,
  type ThreadCode,
} from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, mse, symbol, Tensor, writeModel } from '@adakit/onnx';
import { afterEach, describe, expect, it } from 'vitest';
import { TrainingSession } from '../index.js';
import { updateThreads, withoutSpinning, WorkerThreads } from './worker-threads.js';

const started: WorkerThreads[] = [];
afterEach(() => {
  for (const threads of started.splice(0)) threads.end();
});

/** Threads that are there. */
async function ready(most: number): Promise<WorkerThreads> {
  const threads = new WorkerThreads(most);
  started.push(threads);
  while (threads.available() < threads.most) await setTimeout(5);
  return threads;
}

const ELEMENTS = 2 ** 20 + 1234;
const wave = (length: number, phase: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, i) => Math.sin(i + phase));

/** A parameter after some steps of Adam. */
function updated(steps: number, threads?: KernelThreads): Uint8Array {
  const device = wasmDevice(threads && { threads });
  const run = Run.start(device, adam({ lr: 0.1 }), { w: tensor32(wave(ELEMENTS, 0)) });
  device.write(run.buffers.gradients['w'], wave(ELEMENTS, 1));
  const there = () => ({});
  for (let i = 0; i < steps; i++) run.stepNow({ evaluate: there, estimate: there });
  return new Uint8Array(run.buffers.parameters['w'].view().slice().buffer);
}

describe('threads for updates', () => {
  it('give the bits of one thread', async () => {
    const one = updated(10);
    expect(Buffer.compare(updated(10, await ready(2)), one)).toBe(0);
    expect(Buffer.compare(updated(10, await ready(3)), one)).toBe(0);
  });

  it('are asked for once they have started, and no more when they have ended', async () => {
    const threads = new WorkerThreads(2);
    started.push(threads);
    expect(threads.available()).toBe(1);
    while (threads.available() === 1) await setTimeout(5);
    expect(threads.available()).toBe(2);
    threads.end();
    expect(threads.available()).toBe(1);
  });

  it('say what went wrong in one of them, and go on with the next call', async () => {
    const threads = await ready(2);
    let known: ThreadCode | undefined;
    const asked: KernelThreads = {
      most: 2,
      leastShare: 1,
      available: () => 2,
      run: (code) => {
        known = code;
      },
    };
    const device = wasmDevice({ threads: asked });
    void device.nonFinite(device.allocate([[100]])[0]);
    if (known === undefined) throw new Error('two threads are expected to be called');
    const absent = { ...known, name: 'absent' };
    const call = (): void => {
      threads.run(absent, [[0, 1]], () => undefined);
    };
    expect(call).toThrow('a thread could not compute its share of an update: TypeError');
    expect(call).toThrow('a thread could not compute its share of an update: TypeError');
  });
});

/** y = x · w + b with 1.1 million weights. */
function largeLayer(): Uint8Array {
  const graph = new Graph('large');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 1024] });
  const w = graph.addInitializer('w', Tensor.of('float32', [1024, 1100], wave(1024 * 1100, 2)));
  const b = graph.addInitializer('b', Tensor.of('float32', [1100], wave(1100, 3)));
  const e = emitterOf(graph);
  const y = e.add(e.node('MatMul', [x, w]), b);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

describe('a session', () => {
  const make = (runtime: 'node' | 'native', intraOpNumThreads: number): Promise<TrainingSession> =>
    TrainingSession.create({
      model: largeLayer(),
      loss: mse(),
      optimizer: adam({ lr: 1e-3 }),
      runtime,
      session: { intraOpNumThreads },
    });
  const batch = { x: { data: wave(2048, 4), dims: [2, 1024] }, y: { data: wave(2200, 5), dims: [2, 1100] } };

  it('updates long parameters on as many threads as the runtime has, to the bits of one', async () => {
    const [one, two] = [await make('node', 1), await make('native', 2)];
    try {
      expect([one.runtime.updateThreads, two.runtime.updateThreads]).toEqual([undefined, 2]);
      const target = Object.fromEntries(two.inputs.map(({ name }) => [name, name === 'x' ? batch.x : batch.y]));
      for (let i = 0; i < 12; i++) {
        expect((await two.step(target)).loss).toBe((await one.step(target)).loss);
        // The threads start meanwhile.
        await setTimeout(10);
      }
      const { loss } = await two.evaluate(target);
      expect(loss).toBe((await one.evaluate(target)).loss);
      const [expected, state] = [await one.state(), await two.state()];
      expect(Buffer.compare(bits(state.parameters['w'].value), bits(expected.parameters['w'].value))).toBe(0);
      expect(state.parameters['w'].value.data.buffer).toBeInstanceOf(ArrayBuffer);
    } finally {
      await one.dispose();
      await two.dispose();
    }
  });

  it('with one thread, or with few parameters, has none beside its own', () => {
    const layer = (size: number) => ({ parameters: makePlan(adam(), [{ name: 'w', shape: [size] }]).parameters });
    expect(updateThreads(layer(2 ** 20), { intraOpNumThreads: 4 })?.most).toBe(4);
    expect(updateThreads(layer(2 ** 20), { intraOpNumThreads: 1 })).toBeUndefined();
    expect(updateThreads(layer(2 ** 20 - 1), { intraOpNumThreads: 4 })).toBeUndefined();
  });

  it("keeps the caller's options when the runtime's threads are to leave their cores", () => {
    expect(withoutSpinning({})).toEqual({ extra: { session: { force_spinning_stop: '1' } } });
    const own = { session: { force_spinning_stop: '0', intra_op: { allow_spinning: '0' } }, optimization: {} };
    expect(withoutSpinning({ logSeverityLevel: 3, extra: own })).toEqual({ logSeverityLevel: 3, extra: own });
  });
});

function bits({ data }: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
