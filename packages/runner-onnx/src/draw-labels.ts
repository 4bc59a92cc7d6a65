import { elementCount, fillRandom, nameKey } from '@adakit/core';
import { TrainingError } from './error.js';
import type { BatchTensor } from './feeds.js';

/** How {@link drawLabels} draws. */
export interface DrawLabelsOptions {
  /** The axis of the classes, as that of the loss; counted from the end where negative. Default: 1. */
  readonly classAxis?: number;
  /** A whole number in [0, 2³²). The same seed and step draw the same labels from the same logits. */
  readonly seed: number;
  /** Tells draws apart, e.g. `session.stepCount`. */
  readonly step: number;
}

/**
 * Labels drawn from softmax(logits), each class with its probability: argmax(logits + Gumbel noise) (Gumbel 1954). With them in
 * the place of a batch's labels, a cross-entropy's gradient is one of the Gauss–Newton–Bartlett estimator that Sophia-G takes in
 * (Liu et al. 2023, algorithm 2).
 *
 * @param logits what the model gives for the batch: `(await session.predict(inputs)).logits`
 * @returns int64 of the shape of the logits without the classes
 * @throws TrainingError `invalid-feed` for logits that are not float32 or float64, or have no such axis
 */
export function drawLabels(
  { data, dims }: { readonly data: unknown; readonly dims: readonly number[] },
  { classAxis = 1, seed, step }: DrawLabelsOptions,
): BatchTensor {
  const axis = classAxis < 0 ? classAxis + dims.length : classAxis;
  if (!(data instanceof Float32Array || data instanceof Float64Array) || !(axis in dims)) {
    throw new TrainingError(
      'invalid-feed',
      `logits must be float32 or float64 with classes on axis ${classAxis}, got ${Object.prototype.toString.call(data)} of shape [${dims.join(', ')}]`,
    );
  }
  const [outer, classes, inner] = [elementCount(dims.slice(0, axis)), dims[axis], elementCount(dims.slice(axis + 1))];
  const uniform = new Float64Array(data.length);
  fillRandom('uniform', { seed, key: nameKey('labels'), step, stream: 0 }, uniform);
  const labels = new BigInt64Array(outer * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      let [best, label] = [-Infinity, 0];
      for (let c = 0; c < classes; c++) {
        const at = (o * classes + c) * inner + i;
        const score = data[at] - Math.log(-Math.log(uniform[at]));
        if (score > best) [best, label] = [score, c];
      }
      labels[o * inner + i] = BigInt(label);
    }
  }
  return { data: labels, dims: dims.filter((_, i) => i !== axis) };
}
