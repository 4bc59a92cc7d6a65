import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import { camelCaseKeys } from '@adakit/core';
import { dataFile, readData } from '@adakit/fixtures';
import { crossEntropy, TrainingSession } from '@adakit/runner-onnx';
import { sgd } from '@adakit/sgd';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { matchInputs } from '@adakit/data';
import { readMnist } from './mnist.js';

const run = z.object({ losses: z.array(z.number()), parameterNorms: z.record(z.string(), z.number()) });
const recorded = z
  .object({
    model: z.string(),
    batchSize: z.number(),
    steps: z.number(),
    runs: z.array(
      z.object({
        optimizer: z.enum(['sgd', 'adam', 'adadiff', 'adabelief', 'adabound']),
        hyperparameters: z.record(z.string(), z.union([z.number(), z.boolean()])),
        float64: run,
        sensitivity: z.array(z.number()),
      }),
    ),
  })
  .parse(readData('mnist-losses.json'));
const optimizers = { sgd, adam, adadiff, adabelief, adabound };

/**
 * Training amplifies rounding, and not continuously: where two values in a pooling window are closer than the error,
 * a gradient goes elsewhere, at a step that no one can foretell. `sensitivity` says by how much PyTorch's own float64
 * losses change when the initial weights are perturbed by a few float32 roundings, the largest of several trials. A
 * correct float32 run is such a perturbation; its losses may be four times the largest change off. That is 4e-4 for
 * the worst of these runs; a wrong gradient or rule is off by percents within a few steps.
 */
const toleranceFactor = 4;

describe.each(recorded.runs)('$optimizer on the MNIST CNN', ({ optimizer, hyperparameters, float64, sensitivity }) => {
  const tolerance = toleranceFactor * Math.max(...sensitivity);
  it.each(['fused', 'graph'] as const)('has the losses of PyTorch for 50 steps (%s update)', async (update) => {
    expect(float64.losses).toHaveLength(50);
    expect(tolerance).toBeLessThan(1e-3);
    const session = await TrainingSession.create({
      model: dataFile(recorded.model),
      loss: crossEntropy(),
      optimizer: optimizers[optimizer].load(camelCaseKeys(optimizer, hyperparameters)),
      update,
    });
    const batches = (await readMnist()).train.batch(recorded.batchSize);
    const match = matchInputs(session.inputs);
    for (const [step, expected] of float64.losses.entries()) {
      const { loss } = await session.step(match(await batches.at(step)));
      expect(Math.abs(loss / expected - 1), `step ${step + 1}`).toBeLessThanOrEqual(tolerance);
    }
    for (const [name, { value }] of Object.entries((await session.state()).parameters)) {
      const relative = Math.abs(Math.hypot(...value.data) / float64.parameterNorms[name] - 1);
      expect(relative, name).toBeLessThanOrEqual(tolerance);
    }
    await session.dispose();
  });
});
