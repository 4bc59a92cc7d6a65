import { dataFile } from '@adakit/fixtures';
import { readModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { Tensor } from 'onnxruntime-node';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mse, TrainingSession } from './index.js';

describe('the session of predictions, on the CPU', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** Operators of what the runtime makes of a transformer. */
  async function optimized(extra?: Readonly<Record<string, unknown>>): Promise<ReadonlySet<string>> {
    const optimizedModelFilePath = join(folder, 'optimized.onnx');
    const session = await TrainingSession.create({
      model: await readModel(dataFile('exported/bert.onnx')),
      loss: mse(),
      optimizer: sgd({ lr: 0.1 }),
      session: { optimizedModelFilePath, logSeverityLevel: 3, ...(extra && { extra }) },
    });
    const ones = new Tensor('int64', new BigInt64Array(8).fill(1n), [1, 8]);
    await session.predict({ input_ids: ones, attention_mask: ones, token_type_ids: ones });
    await session.dispose();
    const { proto } = await readModel(optimizedModelFilePath);
    return new Set(proto.graph?.node.map(({ opType }) => opType));
  }

  it('keeps sums apart from the normalizations after them, whose common kernel takes longer', async () => {
    const operators = await optimized();
    expect(operators).toContain('LayerNormalization');
    expect(operators).not.toContain('SkipLayerNormalization');
    // What gains from being one kernel still is.
    expect(operators).toContain('BiasGelu');
  });

  it('has the entries it is given beside, and instead', async () => {
    expect(await optimized({ optimization: { disable_specified_optimizers: '' } })).toContain('SkipLayerNormalization');
    expect(await optimized({ session: { use_env_allocators: '0' } })).not.toContain('SkipLayerNormalization');
  });
});
