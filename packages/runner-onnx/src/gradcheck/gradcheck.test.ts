import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFile } from '@adakit/fixtures';
import type { Emitter } from '@adakit/onnx';
import { emitterOf, Graph, modelFromGraph, operators, symbol, Tensor, writeModel, type Operator } from '@adakit/onnx';
import { describe, expect, test } from 'vitest';
import { gradcheck } from '../index.js';

const models = ['mlp', 'cnn', 'residual', 'regression', 'attention', 'mnist-cnn'];

describe('the gradients of exported models agree with differences', () => {
  test.each(models)('%s', { timeout: 120_000 }, async (name) => {
    const result = await gradcheck(dataFile(`${name}.onnx`), { seed: 3 });
    expect(result.parameters.filter(({ verdict }) => verdict === 'wrong')).toEqual([]);
    expect(result.ok).toBe(true);
    expect(result.maxRelError).toBeLessThan(1e-2);
    expect(result.compiledLoss).toBeCloseTo(result.loss, 4);
  });

  test.each(['cross-entropy', 'sum', 'logits'])('with %s as the loss', { timeout: 60_000 }, async (loss) => {
    expect(await gradcheck(dataFile('cnn.onnx'), { loss })).toMatchObject({ ok: true });
  });
});

test('cross-entropy finds the classes of a language model on the last axis', { timeout: 60_000 }, async () => {
  const result = await gradcheck(dataFile('exported/gru.onnx'), { loss: 'cross-entropy', seed: 1 });
  expect(result.ok).toBe(true);
  // Of 32 words, before any training.
  expect(Math.abs(result.loss - Math.log(32))).toBeLessThan(0.5);
  expect(result.compiledLoss).toBeCloseTo(result.loss, 5);
});

test('with a loss that is a model', { timeout: 60_000 }, async () => {
  const graph = new Graph('loss');
  const e = emitterOf(graph);
  const logits = graph.addInput('logits', { dtype: 'float32', shape: [symbol('N'), 5] });
  const labels = graph.addInput('labels', { dtype: 'int64', shape: [symbol('N')] });
  graph.outputs.push(e.node('SoftmaxCrossEntropyLoss', [logits, labels]));
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  try {
    const path = join(folder, 'loss.onnx');
    await writeFile(path, writeModel(modelFromGraph(graph)));
    const result = await gradcheck(dataFile('mlp.onnx'), { loss: path });
    expect(result.ok).toBe(true);
    expect(result.compiledLoss).toBeCloseTo(result.loss, 5);
    await expect(gradcheck(dataFile('regression.onnx'), { loss: path })).rejects.toThrow('none of its inputs');
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** The table with the cotangent that one operator passes on multiplied by a factor. */
function withMistake(key: string, factor: number) {
  const right = operators.get(key);
  const { gradient } = right ?? {};
  if (right === undefined || typeof gradient !== 'function') throw new Error(`${key} has a gradient`);
  const wrong: Operator = {
    ...right,
    gradient: (ctx) => gradient(ctx).map((cotangent) => cotangent && ctx.e.scale(cotangent, factor)),
  };
  return new Map(operators).set(key, wrong);
}

describe('a wrong gradient is found', () => {
  test.each([
    ['Gemm', 'mlp', 1.05],
    ['Conv', 'cnn', -1],
    ['Relu', 'mlp', 2],
  ])('of %s', { timeout: 60_000 }, async (op, name, factor) => {
    const result = await gradcheck(dataFile(`${name}.onnx`), { operators: withMistake(op, factor) });
    expect(result.ok).toBe(false);
    expect(result.parameters.some(({ verdict }) => verdict === 'wrong')).toBe(true);
    expect(result.maxRelError).toBeGreaterThan(0.03);
  });
});

/** Sums f(w) for a vector w of parameters. */
function model(
  weights: readonly number[],
  body: (e: Emitter, w: ReturnType<Emitter['add']>) => ReturnType<Emitter['add']>,
) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [weights.length] });
  const w = graph.addInitializer('w', Tensor.of('float32', [weights.length], Float32Array.from(weights)));
  graph.outputs.push(e.add(body(e, w), e.scale(x, 1e-3)));
  return writeModel(modelFromGraph(graph));
}

describe('what differences cannot decide is said', () => {
  test('a corner', async () => {
    const { parameters } = await gradcheck(
      model([0, 0, 0], (e, w) => e.node('Relu', [w])),
      { loss: 'sum', train: 'w' },
    );
    expect(parameters[0].verdict).toBe('kink');
  });

  test('a direction that leads nowhere', async () => {
    const dead = model([-1, -2, -3], (e, w) => e.node('Relu', [w]));
    const result = await gradcheck(dead, { loss: 'sum', train: 'w' });
    expect(result.parameters[0]).toMatchObject({ verdict: 'dead', norm: 0 });
    expect(result.ok).toBe(false);
  });

  test('a loss that is none', async () => {
    await expect(gradcheck(dataFile('mlp.onnx'), { loss: 'mae' })).rejects.toThrow("'mae' is neither a loss");
  });
});
