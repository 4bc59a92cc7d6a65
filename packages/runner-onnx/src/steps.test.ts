import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, gradientsGraph, mse, readModel, type GradientsGraph } from '@adakit/onnx';
import { afterAll, describe, expect, it } from 'vitest';
import { CPU, Session } from './execution-provider.js';
import { stepSession } from './steps.js';

const loss = crossEntropy();

describe('the optimization of a session', () => {
  it('rearranges convolutions that stay as they are', async () => {
    const graph = gradientsGraph(await readModel(dataFile('mnist-cnn.onnx')), { loss, freeze: /^conv/ });
    expect(stepSession(graph, {})).toMatchObject({ graphOptimizationLevel: 'all' });
  });

  it('is what the caller says', async () => {
    const graph = gradientsGraph(await readModel(dataFile('mnist-cnn.onnx')), { loss, freeze: /^conv/ });
    expect(stepSession(graph, { graphOptimizationLevel: 'extended' })).toEqual({ graphOptimizationLevel: 'extended' });
    const extra = { session: { disable_prepacking: '1' } };
    const { graphOptimizationLevel, extra: all } = stepSession(graph, { extra });
    expect(graphOptimizationLevel).toBe('all');
    expect(all?.session).toMatchObject(extra.session);
    const own = { session: { intra_op: { spin_duration_us: '0' } }, optimization: {} };
    expect(stepSession(graph, { extra: own }).extra).toEqual(own);
  });
});

it('has threads look for work no longer than a small step’s update takes', async () => {
  const graph = gradientsGraph(await readModel(dataFile('mnist-cnn.onnx')), { loss });
  expect(stepSession(graph, {})).toMatchObject({ extra: { session: { intra_op: { spin_duration_us: '10000' } } } });
});

const folder = mkdtempSync(join(tmpdir(), 'adakit-steps-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the optimizers that are left out for weights that are trained', () => {
  /** How many nodes of each operator ONNX Runtime makes of a graph. */
  async function optimized({ model }: GradientsGraph, options: Parameters<typeof stepSession>[1]) {
    const optimizedModelFilePath = join(folder, 'optimized.onnx');
    const session = await Session.create(model, CPU, { ...options, optimizedModelFilePath });
    await session.release();
    const counts = new Map<string, number>();
    for (const { opType } of (await readModel(optimizedModelFilePath)).graph.node) {
      counts.set(opType, (counts.get(opType) ?? 0) + 1);
    }
    return Object.fromEntries([...counts].sort());
  }

  it.each(['mnist-cnn.onnx', 'exported/gpt.onnx', 'exported/lstm.onnx'])(
    'find nothing in the gradients graph of %s',
    async (file) => {
      const graph = gradientsGraph(await readModel(dataFile(file)), {
        loss: file.startsWith('exported') ? mse() : loss,
      });
      const all = await optimized(graph, { graphOptimizationLevel: 'basic' });
      expect(await optimized(graph, stepSession(graph, {}))).toEqual(all);
    },
  );
});
