import { getEventListeners } from 'node:events';
import { Emitter, Graph, modelFromGraph, symbol, writeModel, type DType } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { afterEach, describe, expect, it } from 'vitest';
import { NativeError } from './native-error.js';
import { nativeLibrary } from './library.js';
import { NativeSession } from './native-session.js';
import { HostValue } from './value.js';

const library = nativeLibrary();
const cpu = { name: 'cpu', options: {} };
const sessions: NativeSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.release();
});

async function open(graph: Graph, options = {}): Promise<NativeSession> {
  const session = await NativeSession.create(library, writeModel(modelFromGraph(graph)), cpu, options);
  sessions.push(session);
  return session;
}

/** y = op(x…), of which only what is given is known. */
function single(
  op: string,
  inputs: Readonly<Record<string, { readonly dtype: DType; readonly shape: (number | ReturnType<typeof symbol>)[] }>>,
  output: { readonly dtype: DType; readonly shape?: (number | ReturnType<typeof symbol>)[] },
): Graph {
  const graph = new Graph('single');
  const y = new Emitter(graph).node(
    op,
    Object.entries(inputs).map(([name, info]) => graph.addInput(name, info)),
  );
  Object.assign(y, output);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return graph;
}

const add = (): Graph =>
  single(
    'Add',
    { a: { dtype: 'float32', shape: [symbol('n'), 2] }, b: { dtype: 'float32', shape: [2] } },
    { dtype: 'float32', shape: [symbol('n'), 2] },
  );
const a = (...values: number[]) => new Tensor('float32', Float32Array.from(values), [values.length / 2, 2]);
const b = new Tensor('float32', Float32Array.of(10, 20), [2]);

const SIZE = 256;

/** Powers of a matrix, one after the other: long, in steps that can be ended between. */
function powers(count: number, size: number | ReturnType<typeof symbol> = SIZE): Graph {
  const graph = new Graph('powers');
  const e = new Emitter(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [size, size] });
  let y = x;
  for (let i = 0; i < count; i++) y = e.node('MatMul', [y, x]);
  Object.assign(y, { dtype: 'float32', shape: [size, size] });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return graph;
}
const identity = () =>
  new Tensor(
    'float32',
    Float32Array.from({ length: SIZE * SIZE }, (_, i) => +(i % (SIZE + 1) === 0)),
    [SIZE, SIZE],
  );

describe('a run', () => {
  it('makes outputs of whatever size, or writes into given ones', async () => {
    const session = await open(add());
    expect((await session.run({ a: a(1, 2), b })).y).toMatchObject({ dims: [1, 2], data: Float32Array.of(11, 22) });
    expect((await session.run({ a: a(1, 2, 3, 4), b })).y.data).toEqual(Float32Array.of(11, 22, 13, 24));
    const y = a(0, 0);
    expect((await session.run({ a: a(5, 6), b }, { y })).y).toBe(y);
    expect(y.data).toEqual(Float32Array.of(15, 26));
  });

  it('makes outputs beyond the 64 MiB that arrays of the foreign function interface may have', async () => {
    const session = await open(add());
    const rows = 2 ** 23 + 1;
    const { y } = await session.run({ a: new Tensor('float32', new Float32Array(2 * rows).fill(1), [rows, 2]), b });
    expect([y.data.length, y.data[0], y.data.at(-1)]).toEqual([2 * rows, 11, 21]);
  });

  it('sees what has changed in memory that is bound already', async () => {
    const session = await open(add());
    const feeds = { a: a(1, 2), b };
    await session.run(feeds);
    feeds.a.data[0] = 7;
    expect((await session.run(feeds)).y.data).toEqual(Float32Array.of(17, 22));
  });

  it('takes tensors without elements', async () => {
    const session = await open(add());
    expect((await session.run({ a: new Tensor('float32', new Float32Array(0), [0, 2]), b })).y.dims).toEqual([0, 2]);
  });

  it('hands over numbers of every width, truths and texts', async () => {
    const types = {
      int8: Int8Array,
      uint16: Uint16Array,
      int64: BigInt64Array,
      float64: Float64Array,
      bool: Uint8Array,
    };
    for (const [dtype, array] of Object.entries(types)) {
      const one = dtype === 'int64' ? 1n : 1;
      const data = (array as unknown as { of: (...values: unknown[]) => Float32Array }).of(one);
      const session = await open(
        single('Identity', { x: { dtype: dtype as DType, shape: [1] } }, { dtype: dtype as DType }),
      );
      const { y } = await session.run({ x: new Tensor(dtype as 'float32', data, [1]) });
      expect([y.type, y.data]).toEqual([dtype, data]);
    }
    const graph = new Graph('texts');
    const x = graph.addInput('x', { dtype: 'int64', shape: [2] });
    const e = new Emitter(graph);
    const y = e.node('Cast', [x], { to: 8 });
    y.dtype = 'string';
    graph.rename(y, 'y');
    graph.outputs.push(y);
    const session = await open(graph);
    const texts = await session.run({ x: new Tensor('int64', BigInt64Array.of(12n, -3n), [2]) });
    expect(texts.y.data).toEqual(['12', '-3']);
  });

  it('refuses by name what the library would fall over', async () => {
    const session = await open(add());
    const refused = (feeds: Record<string, Tensor>) => expect(session.run(feeds)).rejects;
    await refused({ a: a(1, 2) }).toMatchObject({
      code: 'missing-input',
      message: "the model takes 'b', which nothing has been given for",
    });
    await refused({ c: b }).toThrow("the model has no input 'c'; it has a, b");
    await refused({ a: a(1, 2), b: new Tensor('int32', Int32Array.of(1, 2), [2]) }).toThrow(
      "the input 'b' is float32, got int32",
    );
    await refused({ a: b, b }).toThrow("the input 'a' has shape [?, 2], got [2]");
    await expect(
      session.run({ a: a(1, 2), b }, { y: new Tensor('float32', new Float32Array(3), [1, 3]) }),
    ).rejects.toThrow("the output 'y' has shape [?, 2], got [1, 3]");
    // Of a size that only the run can know to be wrong.
    await expect(session.run({ a: a(1, 2), b }, { y: a(0, 0, 0, 0) })).rejects.toBeInstanceOf(NativeError);
    expect((await session.run({ a: a(1, 2), b })).y.data).toEqual(Float32Array.of(11, 22));
  });

  it('refuses memory that is detached, and a session that is released', async () => {
    const session = await open(add());
    const moved = a(1, 2);
    structuredClone(moved.data, { transfer: [moved.data.buffer as ArrayBuffer] });
    await expect(session.run({ a: moved, b })).rejects.toMatchObject({ code: 'detached-memory' });
    await session.release();
    await session.release();
    await expect(session.run({ a: a(1, 2), b })).rejects.toMatchObject({
      code: 'released',
      message: /a session has been released/,
    });
  });

  it('refuses memory that is detached after it was bound', async () => {
    const session = await open(add());
    const view = Float32Array.of(1, 2);
    const binding = session.bind();
    binding.bindInput('a', new HostValue(library, 'float32', [1, 2], view));
    binding.bindInput('b', new HostValue(library, 'float32', [2], Float32Array.of(1, 2)));
    binding.bindNewOutput('y');
    structuredClone(view, { transfer: [view.buffer] });
    await expect(session.runBinding(binding)).rejects.toMatchObject({ code: 'detached-memory' });
    binding.release();
    expect(() => binding.address).toThrow('a binding has been released');
  });
});

it('leaves the event loop free while it runs', async () => {
  const session = await open(powers(100));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run({ x: identity() });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(2);
});

it('lets timers come to their turn between runs that are done at once', async () => {
  const session = await open(add());
  const timer = { isDue: false };
  setTimeout(() => {
    timer.isDue = true;
  }, 1);
  // Ever so many microtasks would keep the timer from its turn for ever.
  for (let runs = 0; !timer.isDue && runs < 50_000; runs++) await session.run({ a: a(1, 2), b });
  expect(timer.isDue).toBe(true);
});

it('takes no run for short because one that read less was', async () => {
  const session = await open(powers(100, symbol('n')));
  const one = new Tensor('float32', Float32Array.of(1), [1, 1]);
  for (let i = 0; i < 3; i++) await session.run({ x: one });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run({ x: identity() });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(2);
});

it('ends a run when it is told to, with the reason, and runs on', async () => {
  const session = await open(powers(400));
  const reason = new Error('enough');
  const controller = new AbortController();
  const run = session.run({ x: identity() }, undefined, { signal: controller.signal });
  setTimeout(() => {
    controller.abort(reason);
  }, 5);
  await expect(run).rejects.toBe(reason);
  await expect(session.run({ x: identity() }, undefined, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect((await session.run({ x: identity() })).y.data).toEqual(identity().data);
});

it('adds one listener to a signal, however many sessions run, and leaves none', async () => {
  const sessions = await Promise.all(Array.from({ length: 3 }, () => open(powers(20))));
  const { signal } = new AbortController();
  const runs = sessions.map((session) => session.run({ x: identity() }, undefined, { signal }));
  await Promise.resolve();
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  await Promise.all(runs);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('is released only after the runs that have begun', async () => {
  const session = await open(powers(20));
  const runs = [session.run({ x: identity() }), session.release(), session.run({ x: identity() })] as const;
  expect((await runs[0]).y.data).toEqual(identity().data);
  await expect(runs[2]).rejects.toMatchObject({ code: 'released' });
});

it('says what ONNX Runtime says of a model or an option that does not work', async () => {
  await expect(NativeSession.create(library, Uint8Array.of(1, 2, 3), cpu)).rejects.toMatchObject({
    code: 'invalid-protobuf',
  });
  await expect(open(add(), { nonsense: 1 })).rejects.toThrow("the native runtime has no session option 'nonsense'");
  const opened = await open(add(), {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: 1,
    enableMemPattern: false,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    freeDimensionOverrides: { n: 1 },
  });
  expect((await opened.run({ a: a(1, 2), b })).y.data).toEqual(Float32Array.of(11, 22));
});

it('names the file that CUDA lacks', async () => {
  const bytes = writeModel(modelFromGraph(add()));
  await expect(NativeSession.create(library, bytes, { name: 'cuda', options: {} })).rejects.toThrow(
    'libonnxruntime_providers_shared.so',
  );
});

it('takes no memory from run to run', async () => {
  const session = await open(add());
  const runs = Number(process.env.ADAKIT_NATIVE_RUNS ?? 2000);
  const round = async (): Promise<number> => {
    for (let i = 0; i < runs; i++) await session.run({ a: a(i, 2), b });
    return process.memoryUsage().rss;
  };
  await round();
  const before = await round();
  const after = await round();
  // A tensor's handle alone takes some 200 bytes; three of them leaked a run would be more.
  expect(after - before).toBeLessThan(Math.max(2 ** 22, 200 * runs));
});
