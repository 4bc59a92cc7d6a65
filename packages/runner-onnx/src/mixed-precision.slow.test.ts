import { adam } from '@adakit/adam';
import { lossScaling } from '@adakit/core';
import { batchFor, dataFile } from '@adakit/fixtures';
import { initialParameters, readModel, withParameters, type WeightSpec } from '@adakit/onnx';
import { expect, test } from 'vitest';
import { crossEntropy, TrainingSession, type TrainingSessionOptions } from './index.js';

const STEPS = 10;

async function lossesOf(options: TrainingSessionOptions) {
  const session = await TrainingSession.create({ ...options, session: { logSeverityLevel: 3 } });
  const losses: number[] = [];
  for (let i = 0; i < STEPS; i++) losses.push((await session.step(batchFor(session, i % 3, 3))).loss);
  const { parameterSpecs, skipped } = session;
  await session.dispose();
  return { losses, parameterSpecs, skipped };
}

/*
 * A product in float16 rounds both of its factors, and the result, by up to 2⁻¹¹. So a correct run may be off float32 by what
 * disturbing all weights by four roundings makes in float32, up to each step. ONNX Runtime's CPU provider leaves conversions
 * there and back out, and with them roundings: what it computes is nearer.
 */
test.each([
  ['mlp.onnx', 1],
  ['cnn.onnx', 1],
  ['exported/gpt.onnx', 2],
  ['exported/lstm.onnx', 2],
])('%s in float16 on the CPU: losses follow those in float32', async (file, classAxis) => {
  const model = await readModel(dataFile(file));
  // The usual 2¹⁶ is too much for the convolutions, whose first step would be skipped.
  const optimizer = lossScaling(adam({ lr: 1e-3 }), { initialScale: 2 ** 10 });
  const options = { model, loss: crossEntropy({ classAxis }), optimizer };
  const single = await lossesOf(options);
  const specs = single.parameterSpecs.map(({ name, shape }): WeightSpec => ({ name, shape, dtype: 'float32' }));
  const weights = Object.entries(initialParameters(model, specs));
  const limits = single.losses.map(() => 0);
  for (let seed = 1; seed <= 3; seed++) {
    let state = seed;
    // A linear congruential generator, of deviation 1.
    const uniform = () => Math.sqrt(3) * ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1);
    const near = weights.map(([name, { shape, data }]) => {
      const disturbed = Float32Array.from(data as Float32Array, (value) => value * (1 + 4 * 2 ** -11 * uniform()));
      return [name, { dtype: 'float32' as const, shape, data: disturbed }] as const;
    });
    const { losses } = await lossesOf({ ...options, model: withParameters(model, Object.fromEntries(near)) });
    let most = 0;
    losses.forEach((loss, i) => {
      most = Math.max(most, Math.abs(loss / single.losses[i] - 1));
      limits[i] = Math.max(limits[i], most);
    });
  }
  const { losses, skipped } = await lossesOf({ ...options, precision: 'float16' });
  expect(skipped).toBe(0);
  const gaps = losses.map((loss, i) => Math.abs(loss / single.losses[i] - 1));
  expect(gaps.filter((gap, i) => gap > limits[i])).toEqual([]);
});
