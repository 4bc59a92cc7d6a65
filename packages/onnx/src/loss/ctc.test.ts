import {
  type Feeds,
  finiteDifferences,
  type Numbers,
  randomNumbers,
  relativeError,
  Session,
} from '@adakit/onnx-reference';
import { describe, expect, it, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { Graph } from '../graph/graph.js';
import { decomposeNodes } from '../passes/lower.js';
import { operators } from '../operators/index.js';
import { symbol, type Dim } from '../shape/dim.js';
import { ctc, type CtcOptions } from './ctc.js';

const int64 = (dims: readonly number[], data: readonly number[]): Numbers => ({ dtype: 'int64', dims, data });

/** The logits of a model with an output of shape [time, batch, classes], and its loss. */
function attach(shape: readonly Dim[], options: CtcOptions = {}, dtype: 'float32' | 'float64' = 'float64') {
  const graph = new Graph('loss');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype, shape });
  graph.outputs.push(e.node('Identity', [x]));
  const { loss, targets } = ctc(options).attach(e, graph);
  return { graph, x, loss, targets };
}

/** A session that computes the loss and its gradient. */
async function create(shape: readonly Dim[], options: CtcOptions = {}, dtype: 'float32' | 'float64' = 'float64') {
  const { graph, x, loss } = attach(shape, options, dtype);
  const gradient = differentiate(graph, loss, [x], operators).get(x);
  if (gradient === undefined) throw new Error('the loss does not depend on the output');
  graph.outputs.splice(0, 1, loss, gradient);
  decomposeNodes(graph, operators);
  graph.removeDead();
  const session = await Session.create(graph);
  const run = async (feeds: Feeds) => {
    const results = await session.run(feeds);
    return { loss: results[loss.name].data[0], gradient: results[gradient.name].data };
  };
  return { session, lossName: loss.name, run };
}

/** Padded labels with their lengths. */
function labelled(sequences: readonly (readonly number[])[], steps: readonly number[]): Feeds {
  const longest = Math.max(...sequences.map(({ length }) => length));
  const padded = sequences.flatMap((sequence) => [
    ...sequence,
    ...new Array<number>(longest - sequence.length).fill(0),
  ]);
  return {
    targets: int64([sequences.length, longest], padded),
    input_lengths: int64([steps.length], steps),
    target_lengths: int64(
      [steps.length],
      sequences.map(({ length }) => length),
    ),
  };
}

/** −log of the summed probabilities of all paths that read as the labels, by listing every path. */
function byEnumeration(logits: readonly (readonly number[])[], labels: readonly number[]): number {
  const probabilities = logits.map((row) => {
    const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
    return row.map((value) => Math.exp(value) / total);
  });
  let likelihood = 0;
  const walk = (step: number, path: readonly number[], probability: number) => {
    if (step === logits.length) {
      const read = path.filter((label, i) => label !== path[i - 1]).filter((label) => label !== 0);
      if (read.join() === labels.join()) likelihood += probability;
      return;
    }
    probabilities[step].forEach((p, label) => {
      walk(step + 1, [...path, label], probability * p);
    });
  };
  walk(0, [], 1);
  return -Math.log(likelihood);
}

describe('the loss of every label sequence is that of all paths that read as it', () => {
  const sequences = [[], [1], [2], [1, 1], [1, 2], [2, 1], [2, 2], [1, 2, 1], [2, 2, 1]];
  const [time, batch, classes] = [5, sequences.length, 3];
  const x: Numbers = { dtype: 'float64', dims: [time, batch, classes], data: randomNumbers(time * batch * classes, 3) };

  test.each([0, 1, 2, 3, 4, 5])('over %i steps', async (steps) => {
    const { run, session } = await create([time, symbol('batch'), classes], { reduction: 'sum' });
    for (const [n, sequence] of sequences.entries()) {
      const rows = Array.from({ length: time }, (_, t) =>
        x.data.slice((t * batch + n) * classes, (t * batch + n + 1) * classes),
      );
      const expected = byEnumeration(rows.slice(0, steps), sequence);
      const { loss, gradient } = await run({
        x: { ...x, dims: [time, 1, classes], data: rows.flat() },
        ...labelled([sequence], [steps]),
      });
      expect(Number.isFinite(loss)).toBe(Number.isFinite(expected));
      if (Number.isFinite(expected)) expect(Math.abs(loss - expected)).toBeLessThan(1e-12);
      // Steps that do not count have no gradient, whatever is in them.
      expect(gradient.slice(steps * classes).every((value) => value === 0)).toBe(true);
      expect(gradient.every(Number.isFinite)).toBe(true);
    }
    await session.release();
  });
});

it('has the gradient of differences', async () => {
  const [time, batch, classes] = [7, 3, 4];
  const x: Numbers = { dtype: 'float64', dims: [time, batch, classes], data: randomNumbers(time * batch * classes, 8) };
  const feeds = { x, ...labelled([[1, 1, 2], [3], []], [7, 5, 6]) };
  const { session, lossName, run } = await create([symbol('time'), symbol('batch'), classes]);
  const expected = await finiteDifferences(session, feeds, 'x', lossName);
  // Truncation of the differences, see there.
  expect(relativeError((await run(feeds)).gradient, expected)).toBeLessThan(1e-8);
  await session.release();
});

it('stays accurate in float32 over 500 steps, for scores of any confidence', async () => {
  const [time, batch, classes] = [500, 2, 6];
  const labels = Array.from({ length: 60 }, (_, i) => 1 + ((i * i) % 5));
  for (const scale of [1, 20, 1e4]) {
    const data = randomNumbers(time * batch * classes, 5).map((value) => Math.fround(value * scale));
    const shape = [symbol('time'), batch, classes];
    const given = labelled([labels, labels.slice(0, 9)], [500, 431]);
    const [single, double] = await Promise.all(
      (['float32', 'float64'] as const).map(async (dtype) => {
        const { run, session } = await create(shape, {}, dtype);
        const result = await run({ x: { dtype, dims: [time, batch, classes], data }, ...given });
        await session.release();
        return result;
      }),
    );
    expect(double.gradient.every(Number.isFinite)).toBe(true);
    // States are kept near 0, where float32 rounds by 6e-8; over 500 steps of a sum that adds up to a few 1e-5 of the
    // posteriors. (PyTorch's float32, whose states grow with time, is off by 1e-3 in such a case.)
    expect(relativeError([single.loss], [double.loss])).toBeLessThan(5e-6);
    expect(relativeError(single.gradient, double.gradient)).toBeLessThan(1e-4);
  }
});

it('takes classes that the model rules out, with a score of -Infinity', async () => {
  const { run, session } = await create([3, 2, 3], { zeroInfinity: true, reduction: 'sum' });
  const row = [0, 0, -Infinity];
  const x: Numbers = { dtype: 'float64', dims: [3, 2, 3], data: [...row, ...row, ...row, ...row, ...row, ...row] };
  const { loss, gradient } = await run({ x, ...labelled([[1], [2]], [3, 3]) });
  // Of the 8 paths of the first sample 6 read as the label 1; the second sample has none.
  expect(loss).toBeCloseTo(-Math.log(6 / 8), 12);
  expect(gradient.every(Number.isFinite)).toBe(true);
  await session.release();
});

it('needs no backward recursion where no gradient is asked for', () => {
  const { graph, loss } = attach([symbol('time'), symbol('batch'), 3]);
  graph.outputs.splice(0, 1, loss);
  decomposeNodes(graph, operators);
  graph.removeDead();
  expect(graph.nodes.filter(({ op }) => op === 'Scan')).toHaveLength(1);
});

it('takes lengths from the model where it has them', () => {
  const graph = new Graph('model');
  const e = emitterOf(graph);
  graph.outputs.push(
    e.node('Identity', [graph.addInput('x', { dtype: 'float32', shape: [symbol('t'), symbol('n'), 4] })]),
  );
  graph.addInput('steps', { dtype: 'int32', shape: [symbol('n')] });
  const { targets } = ctc({ inputLengths: 'steps' }).attach(e, graph);
  expect(targets.map(({ input: { name, dtype, shape } }) => `${name} ${dtype} [${String(shape)}]`)).toEqual([
    'targets int64 [n,targets_length]',
    'target_lengths int64 [n]',
  ]);
});

describe('what does not fit is refused', () => {
  test.each<[readonly number[], CtcOptions, string]>([
    [[4, 3], {}, "ctc: the output 'Identity' must have shape [time, batch, classes]"],
    [[4, 2, 3], { blank: 3 }, "blank must be one of the 3 classes of the output 'Identity', got 3"],
    [[4, 2, 3], { inputLengths: 'x' }, "'x' must hold an integer for each sample, it is float64 [4, 2, 3]"],
  ])('%j %j', (shape, options, message) => {
    expect(() => attach(shape, options)).toThrow(message);
  });

  it('lengths beyond the tensors, at the step', async () => {
    const { run, session } = await create([symbol('time'), 1, 3]);
    const x: Numbers = { dtype: 'float64', dims: [4, 1, 3], data: randomNumbers(12, 1) };
    const good = labelled([[1, 2]], [4]);
    await expect(run({ x, ...good, input_lengths: int64([1], [-1]) })).rejects.toThrow(
      'input_lengths negative or longer than the output',
    );
    await expect(run({ x, ...good, input_lengths: int64([1], [5]) })).rejects.toThrow(
      'input_lengths negative or longer than the output',
    );
    await expect(run({ x, ...good, target_lengths: int64([1], [3]) })).rejects.toThrow(
      'target_lengths negative or longer than the labels',
    );
    expect((await run({ x, ...good })).loss).toBeGreaterThan(0);
    await session.release();
  });
});
