import { setImmediate } from 'node:timers/promises';
import type { Stateful } from '@adakit/core';
import { classes, orderedBatches, type DigitBatch, type Digits } from './mnist.js';

/** The network in training, on some runtime. */
export interface TrainableModel extends Stateful {
  /** Runtime and device, e.g. `onnxruntime-node/cpu`. */
  readonly backend: string;
  /** One step of the optimizer; gives the loss of the batch before it. */
  step(batch: DigitBatch): Promise<number>;
  /** Logits of shape [size, 10]. */
  predict(batch: DigitBatch): Promise<Float32Array>;
  dispose(): Promise<void>;
}

export interface TrainingOptions {
  readonly steps: number;
  /** Stops between two steps, with the signal's reason as the error. */
  readonly signal?: AbortSignal;
  /** Called after every step with its number, counted from 1. */
  readonly onStep?: (step: number, loss: number) => void;
}

export interface TrainingRecord {
  /** The loss of every batch, before the step. */
  readonly losses: Float64Array;
  readonly images: number;
  /** Mean time of a step, without preparing its batch. */
  readonly msPerStep: number;
}

/** Takes steps on the next batches. */
export async function train(
  model: Pick<TrainableModel, 'step'>,
  batches: Iterator<DigitBatch, unknown>,
  { steps, signal, onStep }: TrainingOptions,
): Promise<TrainingRecord> {
  const losses = new Float64Array(steps);
  let images = 0;
  let time = 0;
  for (let i = 0; i < steps; i++) {
    // Runtimes compute without giving way; signals and timers have their turn here.
    await setImmediate();
    signal?.throwIfAborted();
    const next = batches.next();
    if (next.done === true) throw new RangeError(`the batches ended after ${i} of ${steps} steps`);
    const batch = next.value;
    const start = performance.now();
    losses[i] = await model.step(batch);
    time += performance.now() - start;
    images += batch.size;
    onStep?.(i + 1, losses[i]);
  }
  return { losses, images, msPerStep: time / steps };
}

/** Mean of the last `count` losses, which a single batch would give a noisy picture of. */
export function recentLoss({ losses }: TrainingRecord, count: number): number {
  const recent = losses.subarray(-count);
  return recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
}

/** Share of the images, 0…1, for which the largest logit is the label's. */
export async function accuracy(
  model: Pick<TrainableModel, 'predict'>,
  digits: Digits,
  signal?: AbortSignal,
): Promise<number> {
  let correct = 0;
  for (const batch of orderedBatches(digits, 500)) {
    await setImmediate();
    signal?.throwIfAborted();
    const logits = await model.predict(batch);
    batch.labels.forEach((label, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      if (row.every((logit, k) => k === label || logit < row[label])) correct++;
    });
  }
  return correct / digits.count;
}
