import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { accumulate } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { readState } from '@adakit/state/node';
import { afterEach, describe, expect, it } from 'vitest';
import { gradcheck, mse, TrainingSession, type Batch, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

const WIDTH = 16;

/** y = dropout(dropout(x · w)) + b · noise, of one shape. */
function drawing(): Uint8Array {
  const graph = new Graph('drawing');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), WIDTH] });
  const weight = (name: string, ...dims: number[]) =>
    graph.addInitializer(name, OnnxTensor.filled('float32', dims, 0.5));
  const drop = (value: typeof x) => e.node('Dropout', [value, e.scalar(0.25, 'float32')]);
  const dropped = drop(drop(e.mul(x, weight('w', WIDTH))));
  const y = e.add(dropped, e.mul(weight('b', WIDTH), e.node('RandomNormalLike', [x])));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

const batch = (rows = 4): Batch => ({
  x: { data: new Float32Array(rows * WIDTH).fill(1), dims: [rows, WIDTH] },
  target: { data: new Float32Array(rows * WIDTH), dims: [rows, WIDTH] },
});

async function create(options: Partial<TrainingSessionOptions> = {}): Promise<TrainingSession> {
  const session = await TrainingSession.create({
    model: drawing(),
    loss: mse(),
    optimizer: adam(),
    train: /^[wb]$/,
    ...options,
  });
  sessions.push(session);
  return session;
}

async function losses(session: TrainingSession, steps: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < steps; i++) found.push((await session.step(batch(2 + (i % 2)))).loss);
  return found;
}

describe.each(['fused', 'graph'] as const)('what a model draws, with the update %s', (update) => {
  it('is the same for the same seed, and other numbers for another or none', async () => {
    const [a, b, c, d, e] = await Promise.all(
      [7, 7, 8, undefined, undefined].map(async (seed) =>
        losses(await create({ update, ...(seed !== undefined && { seed }) }), 3),
      ),
    );
    expect(b).toEqual(a);
    for (const others of [c, d, e]) expect(others).not.toEqual(a);
    expect(e).not.toEqual(d);
  });

  it('goes on after a resume as without an interruption, to the last bit', async () => {
    const whole = await create({ update, seed: 7 });
    await losses(whole, 3);
    const middle = await whole.state();
    const rest = await losses(whole, 4);
    const resumed = await create({ update });
    await resumed.load(middle);
    expect(await losses(resumed, 4)).toEqual(rest);
    expect(await resumed.state()).toEqual(await whole.state());
  });
});

it('a new seed is drawn where none is given, and kept', async () => {
  const session = await create();
  const state = await session.state();
  expect(state.random).toEqual({ seed: expect.any(Number) as number });
  const other = await create();
  expect((await other.state()).random).not.toEqual(state.random);
  await other.load(state);
  expect(await losses(other, 2)).toEqual(await losses(session, 2));
});

it('batches of one step draw different numbers, and so does a session that goes on between them', async () => {
  const options = { optimizer: accumulate(2, sgd({ lr: 0.1 })), seed: 3 };
  const session = await create(options);
  const { loss } = await session.step(batch());
  const middle = await session.state();
  const second = await session.step(batch());
  expect(second.loss).not.toBe(loss);
  const resumed = await create({ ...options, seed: 4 });
  await resumed.load(middle);
  expect((await resumed.step(batch())).loss).toBe(second.loss);
});

it('two layers draw different numbers', async () => {
  const session = await create({ seed: 1 });
  const { loss } = await session.step(batch(64));
  // Both keep an element with probability 9/16, and it is then 0.5 · 16/9; with one mask for both 3/4 of them would be.
  // The noise, half of a standard normal number, adds 1/4. The bound is five standard deviations of the mean of 1024
  // squares of their sum, whose variance is that of the square of each and four times the product of both squares.
  const [kept, square] = [9 / 16, (0.5 * (16 / 9)) ** 2];
  const variance = square ** 2 * kept * (1 - kept) + 2 * 0.25 ** 2 + 4 * kept * square * 0.25;
  const bound = 5 * Math.sqrt(variance / 1024);
  expect(Math.abs(loss - kept * square - 0.25)).toBeLessThan(bound);
  expect(loss - 0.75 * square - 0.25).toBeLessThan(0);
});

it('nothing is dropped in evaluation and prediction', async () => {
  const graph = new Graph('dropping');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), WIDTH] });
  const y = e.node('Dropout', [e.mul(x, graph.addInitializer('w', OnnxTensor.filled('float32', [WIDTH], 0.5)))]);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  const session = await create({ model: writeModel(modelFromGraph(graph)) });
  expect((await session.evaluate(batch())).loss).toBe(0.25);
  const { y: predicted } = await session.predict({ x: batch().x });
  expect(new Set(predicted.data as Float32Array)).toEqual(new Set([0.5]));
});

it('the check of gradients finds the same twice', async () => {
  const options = { train: 'w', loss: 'sum', seed: 3 };
  const graph = new Graph('dropping');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2, 3] });
  const w = graph.addInitializer('w', OnnxTensor.filled('float32', [3], 0.5));
  const training = e.constant(OnnxTensor.of('bool', [], Uint8Array.of(1)));
  graph.outputs.push(e.node('Dropout', [e.mul(x, w), e.scalar(0.5, 'float32'), training]));
  const model = writeModel(modelFromGraph(graph));
  const found = await gradcheck(model, options);
  expect(found.ok).toBe(true);
  expect(await gradcheck(model, options)).toEqual(found);
});

it.each([-1, 0.5, 2 ** 32, NaN])('%d is no seed', async (seed) => {
  await expect(create({ seed })).rejects.toMatchObject({ code: 'invalid-option' });
});

it('the position in the data goes into a state and comes back', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'data-'));
  const data = { epoch: 3, order: [2, 0, 1], rest: { text: 'ä"\\', none: null, yes: true, small: 1e-300 } };
  try {
    const session = await create({ seed: 5 });
    const path = join(directory, 'state.safetensors');
    await session.save(path, { data });
    expect(await readState(path)).toMatchObject({ data, random: { seed: 5 } });
    expect((await session.state({ data })).data).toEqual(data);
    expect(await session.state()).not.toHaveProperty('data');
  } finally {
    await rm(directory, { recursive: true });
  }
});
