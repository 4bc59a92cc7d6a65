import { adam } from '@adakit/adam';
import { lossScaling, referenceDevice, Run } from '@adakit/core';
import { dataFile, readData } from '@adakit/fixtures';
import { evaluate, type Feeds } from '@adakit/onnx-reference';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { graphFromModel } from '../graph/from-model.js';
import { inferShapes } from '../inference/infer.js';
import { crossEntropy } from '../loss/cross-entropy.js';
import type { ComputePrecision } from '../model/dtype.js';
import { parseModel, readModel, writeModel } from '../model/model.js';
import { operators } from '../operators/index.js';
import { CUDA_KERNELS } from '../target/cuda-kernels.js';
import type { Target } from '../target/target.js';
import { targets } from '../target/targets.js';
import { gradientsGraph } from './graphs.js';
import { initialParameters } from './trained-model.js';

const tensor = z.object({ dims: z.array(z.number()), data: z.array(z.number()) });
const { cases } = z
  .object({ cases: z.array(z.object({ inputs: z.object({ x: tensor }), target: tensor })) })
  .parse(readData('mlp.json'));
const losses = z.array(z.number());
const { mlp: recorded } = z
  .object({
    mlp: z.object({
      learningRate: z.number(),
      losses: z.object({ float32: losses, float16: losses, bfloat16: losses }),
    }),
  })
  .parse(readData('autocast.json'));

/** In operators that the reference evaluator knows, where CUDA has kernels in half precision. */
const target: Target = {
  ...targets.portable,
  kernels: CUDA_KERNELS,
  halves: ['float16', 'bfloat16'],
};

const model = await readModel(dataFile('mlp.onnx'));

/** Of those recorded, in half precision. */
const STEPS = 20;

/**
 * Losses of a training with Adam whose graph is evaluated with a rounding an operation, each to the type that it has there.
 *
 * @param disturb what becomes of the weights before
 */
async function trained(precision: ComputePrecision, steps: number, disturb = (x: number) => x): Promise<number[]> {
  const graph = gradientsGraph(model, { loss: crossEntropy(), target, precision, lossScale: true });
  const executed = graphFromModel(parseModel(writeModel(graph.model)));
  inferShapes(executed, operators);
  const start = Object.entries(initialParameters(model, graph.parameters)).map(([name, { shape, data }]) => {
    const near = Float32Array.from(data as Float32Array, disturb);
    return [name, { value: { dtype: 'float32' as const, shape, data: near } }] as const;
  });
  const rule = adam({ lr: recorded.learningRate });
  const optimizer = precision === 'float16' ? lossScaling(rule) : rule;
  const run = Run.start(referenceDevice('float32'), optimizer, Object.fromEntries(start));
  const found: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { inputs, target: labels } = cases[step % cases.length];
    await run.stepWith({
      evaluate({ parameters, gradients, lossScale }) {
        const feeds: Record<string, Feeds[string]> = {
          x: { ...inputs.x, dtype: 'float32' },
          labels: { ...labels, dtype: 'int64' },
          [graph.lossScale?.name ?? '']: { dtype: 'float32', dims: [], data: [lossScale] },
        };
        for (const { name, shape } of graph.parameters) {
          feeds[name] = { dtype: 'float32', dims: shape, data: [...parameters[name]] };
        }
        const values = evaluate(executed, feeds, {}, { rounds: true });
        const dataOf = (name: string) => values.get(name)?.data ?? expect.fail(`no ${name}`);
        for (const { name } of graph.parameters) gradients[name].set(dataOf(graph.gradients[name]));
        const [loss] = dataOf(graph.loss);
        found.push(loss);
        return { loss };
      },
    });
  }
  await run.dispose();
  return found;
}

/**
 * How far a correct run may be off one in float32, up to each step: what weights make that are disturbed by four roundings. Of
 * its factors a product rounds both, and then its result.
 */
async function sensitivity(roundoff: number): Promise<number[]> {
  const spread = new Array<number>(STEPS).fill(0);
  for (let trial = 1; trial <= 2; trial++) {
    let seed = trial;
    // A linear congruential generator, of deviation 1.
    const uniform = () => Math.sqrt(3) * ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1);
    const near = await trained('float32', STEPS, (x) => x * (1 + 4 * roundoff * uniform()));
    let most = 0;
    near.forEach((loss, i) => {
      most = Math.max(most, Math.abs(loss / recorded.losses.float32[i] - 1));
      spread[i] = Math.max(spread[i], most);
    });
  }
  return spread;
}

test.each([
  ['float16', 2 ** -11],
  ['bfloat16', 2 ** -8],
] as const)('an MLP in %s has the losses of torch.autocast', async (precision, roundoff) => {
  const [limits, found] = [await sensitivity(roundoff), await trained(precision, STEPS)];
  const gaps = (reference: readonly number[]) => found.map((loss, i) => Math.abs(loss / reference[i] - 1));
  // Each of the two is that far off float32.
  expect(gaps(recorded.losses[precision]).filter((gap, i) => gap > 2 * limits[i])).toEqual([]);
  // And is rounded, as float32 is not.
  expect(Math.max(...gaps(recorded.losses.float32))).toBeGreaterThan(roundoff / 16);
});

test('the reference run in float32 is that of PyTorch', async () => {
  const found = await trained('float32', STEPS);
  found.forEach((loss, i) => {
    expect(Math.abs(loss / recorded.losses.float32[i] - 1)).toBeLessThan(1e-5);
  });
});
