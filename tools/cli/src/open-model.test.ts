import { readFile } from 'node:fs/promises';
import { dataFile } from '@adakit/fixtures';
import { expect, it } from 'vitest';
import { openModel } from './open-model.js';

const bytes = await readFile(dataFile('mlp.onnx'));

it('a model may come from standard input, in pieces', async () => {
  async function* pieces() {
    yield await Promise.resolve(bytes.subarray(0, 100));
    yield bytes.subarray(100);
  }
  const { graph, source } = await openModel('-', { dim: {}, fix: {} }, pieces());
  expect(source).toBe('standard input');
  expect(graph).toEqual((await openModel(dataFile('mlp.onnx'), { dim: {}, fix: {} })).graph);
});
