import { dataFile } from '@adakit/fixtures';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import type { Gradcheck } from '@adakit/runner-onnx';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { addGradcheckCommand } from './command.js';

test('confirms the gradients of a model, for people and as JSON', { timeout: 60_000 }, async () => {
  const model = dataFile('mlp.onnx');
  const text = await runCommand(addGradcheckCommand, 'gradcheck', model, '--directions', '1');
  expect(text.exitCode).toBe(0);
  expect(text.output).toContain('the gradients agree with differences');
  expect(text.output).toMatch(/largest relative error \S+; \d+ ok\n/);
  const json = await runCommand(addGradcheckCommand, 'gradcheck', model, '--directions', '1', '--json');
  expect(JSON.parse(json.output)).toMatchObject({ ok: true });
});

/**
 * Scores of words: the mean over each four of their rows in a table, times a matrix, halved unless `rate` is 16. So
 * words are below 5, and there is a multiple of four of them.
 */
function wordModel(): Uint8Array {
  const graph = new Graph('words');
  const e = emitterOf(graph);
  const words = graph.addInput('words', { dtype: 'int64', shape: [symbol('batch'), symbol('length')] });
  const rate = graph.addInput('rate', { dtype: 'int64', shape: [] });
  const table = graph.addInitializer(
    'table',
    Tensor.of(
      'float32',
      [5, 2],
      Float32Array.from({ length: 10 }, (_, i) => i),
    ),
  );
  const matrix = graph.addInitializer('matrix', Tensor.of('float32', [2, 3], Float32Array.of(1, -1, 0.5, 0.25, 1, -2)));
  const rows = e.reshape(e.gather(table, words), e.int64([0, -1, 4, 2]));
  const scores = e.matMul(e.node('ReduceMean', [rows, e.int64([1, 2])], { keepdims: 0 }), matrix);
  const half = e.where(e.equal(rate, e.scalar(16, 'int64')), e.scalar(1, 'float32'), e.scalar(0.5, 'float32'));
  const y = e.mul(scores, half);
  graph.rename(y, 'scores');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

/** A safetensors file of int64 tensors. */
function safetensors(
  tensors: Readonly<Record<string, { shape: readonly number[]; values: readonly number[] }>>,
): Buffer {
  let end = 0;
  const header = Object.entries(tensors).map(([name, { shape, values }]) => {
    const start = end;
    end += 8 * values.length;
    return [name, { dtype: 'I64', shape, data_offsets: [start, end] }];
  });
  const text = Buffer.from(JSON.stringify(Object.fromEntries(header)).padEnd(512));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = Object.values(tensors).map(({ values }) => Buffer.from(BigInt64Array.from(values, BigInt).buffer));
  return Buffer.concat([length, text, ...data]);
}

describe('the options', { timeout: 60_000 }, () => {
  let folder: string;
  let model: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gradcheck-'));
    model = join(folder, 'words.onnx');
    await writeFile(model, wordModel());
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const run = async (...args: readonly string[]): Promise<Gradcheck> => {
    const { output } = await runCommand(addGradcheckCommand, 'gradcheck', model, '--json', ...args);
    return JSON.parse(output) as Gradcheck;
  };
  const inputs = async (tensors: Parameters<typeof safetensors>[0]): Promise<string> => {
    const path = join(folder, 'inputs.safetensors');
    await writeFile(path, safetensors(tensors));
    return path;
  };
  const words = { shape: [1, 4], values: [0, 1, 2, 3] };

  test('without any, integers are in range and sizes such that the model runs', async () => {
    const { ok, parameters } = await run('--train', 'table', '--train', 'matrix');
    expect({ ok, names: parameters.map(({ name }) => name).sort() }).toEqual({ ok: true, names: ['matrix', 'table'] });
  });

  test('--inputs and --loss: the sum of an output for known words', async () => {
    const file = await inputs({ words, rate: { shape: [], values: [16] } });
    // The mean row is (3, 4): 3·(1, -1, 0.5) + 4·(0.25, 1, -2) = (4, 1, -6.5).
    for (const loss of ['sum', 'scores']) {
      expect(await run('--inputs', file, '--loss', loss)).toMatchObject({ loss: -1.5, compiledLoss: -1.5, ok: true });
    }
  });

  test('--inputs for some: the switch is what it is compared with, or what --fix says', async () => {
    const file = await inputs({ words });
    expect(await run('--inputs', file, '--loss', 'sum')).toMatchObject({ loss: -1.5, ok: true });
    expect(await run('--inputs', file, '--loss', 'sum', '--fix', 'rate=8')).toMatchObject({ loss: -0.75, ok: true });
  });

  test.each(['mse', 'cross-entropy'])('--loss %s', async (loss) => {
    expect(await run('--loss', loss)).toMatchObject({ ok: true });
  });

  test('--seed repeats what is random', async () => {
    const [one, again, other] = [await run('--seed', '1'), await run('--seed', '1'), await run('--seed', '2')];
    expect(again).toEqual(one);
    expect(other.loss).not.toBe(one.loss);
  });

  test('--dim gives free dimensions their size', async () => {
    expect(await run('--dim', 'length=8', '--dim', 'words[0]=3', '--directions', '3')).toMatchObject({ ok: true });
    await expect(run('--dim', 'length=6')).rejects.toThrow('ONNX Runtime does not accept its gradients');
    await expect(run('--dim', 'lenght=8')).rejects.toThrow("did you mean 'length'?");
  });

  test('--limit leaves parameters unchecked, and says so', async () => {
    const { output, exitCode } = await runCommand(addGradcheckCommand, 'gradcheck', model, '--limit', '0');
    expect(exitCode).toBe(1);
    expect(output).toContain('NOT CONFIRMED');
    expect(output).toContain('1 unchecked');
  });

  test.each([
    [['--directions', '0'], 'a whole number of at least 1 is needed'],
    [['--loss', 'mae'], "'mae' is neither a loss"],
    [['--fix', 'rate=0.5'], 'the input is int64, and 0.5 is not a whole number'],
    [['--fix', 'rate'], 'name=number is needed'],
    [['--seed', 'x'], 'a whole number of at least 0 is needed'],
  ])('%j is a mistake', async (args, message) => {
    await expect(run(...args)).rejects.toThrow(message);
  });

  test('inputs that the model does not have are named', async () => {
    await expect(run('--inputs', await inputs({ word: words }))).rejects.toThrow("the model has no input 'word'");
  });
});
