// @tier user
import { AdakitError, fillRandom, kindOf, kinds, nameKey, optionsProblem, type OptionKind } from '@adakit/core';
import {
  add,
  argMax,
  cast,
  customGrad,
  log,
  mul,
  oneHot,
  reshape,
  tensor,
  zerosLike,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { AdakitOptimizer } from './adakit-optimizer.js';

/** How {@link drawnLabels} draws. */
export interface DrawnLabelsOptions {
  /** A whole number in [0, 2³²). The same seed and step draw the same labels from the same outputs. */
  readonly seed: number;
  /** What the outputs are: `logits`, the default, or `probabilities`, those of a model that ends in softmax. */
  readonly outputs?: 'logits' | 'probabilities';
}

/**
 * Labels for the loss of an optimizer that estimates the curvature from labels drawn from the model's own output (`sophia`):
 * those of the batch as a rule, drawn ones while the optimizer asks for its estimate. For losses that are the mean of a softmax
 * cross-entropy.
 *
 * Each class is drawn with its probability, by Gumbel noise (Gumbel 1954). Draws are a function of the seed and the number of the
 * step: a run that goes on from a state draws what it would have drawn. Nothing is read back from the backend.
 *
 * @example
 * ```ts
 * const optimizer = tfjsOptimizer(sophia());
 * const labels = drawnLabels(optimizer, { seed: 1 });
 * const loss = (y: Tensor, logits: Tensor) => tf.losses.softmaxCrossEntropy(labels(y, logits), logits);
 * model.compile({ optimizer, loss });
 * ```
 * @returns a function of labels, one-hot [batch, …, classes] or class numbers, and outputs [batch, …, classes]. It throws
 * AdakitError `invalid-plan` where a loss asks twice for one estimate
 * @throws AdakitError `invalid-plan` for a seed out of range
 */
export function drawnLabels(
  optimizer: AdakitOptimizer,
  options: DrawnLabelsOptions,
): (labels: Tensor, outputs: Tensor) => Tensor {
  requireGiven(optimizer, options);
  const { seed, outputs: kind = 'logits' } = options;
  /** The estimate that is being made, and how many labels have been drawn for it. */
  let estimate: { readonly step: number; count: number } | undefined;
  optimizer.estimator = (loss, step) => () => {
    const current = (estimate = { step, count: 0 });
    try {
      const value = loss();
      if (current.count > 0) return mul<Scalar>(value, Math.sqrt(current.count));
      throw new AdakitError(
        'invalid-plan',
        'the loss asks for no drawn labels; compute it with what drawnLabels() has returned: labels(y, outputs)',
      );
    } finally {
      estimate = undefined;
    }
  };
  return (labels, outputs) => {
    if (estimate === undefined) return labels;
    if (estimate.count > 0) {
      throw new AdakitError(
        'invalid-plan',
        'a loss may ask for drawn labels once; that of several outputs cannot be estimated',
      );
    }
    estimate.count = outputs.size / outputs.shape[outputs.rank - 1];
    return draw(labels, kind === 'logits' ? outputs : log(outputs), seed, estimate.step);
  };
}

/** @throws AdakitError `invalid-plan` for anything but an optimizer of TensorFlow.js and options as there are */
function requireGiven(optimizer: unknown, options: DrawnLabelsOptions): void {
  const problem =
    optionsProblem(options, {
      seed: kinds.required(kinds.seed),
      outputs: kinds.oneOf('logits', 'probabilities'),
    } satisfies Record<keyof DrawnLabelsOptions, OptionKind>) ??
    (Object(optimizer) === optimizer && 'applyGradients' in (optimizer as object)
      ? undefined
      : `it takes an optimizer that tfjsOptimizer() has made, got ${kindOf(optimizer)}`);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `drawnLabels: ${problem}`);
}

function draw(labels: Tensor, scores: Tensor, seed: number, step: number): Tensor {
  const noise = new Float32Array(scores.size);
  fillRandom('uniform', { seed, key: nameKey('labels'), step, stream: 0 }, noise);
  // Half a step off zero, where the noise is infinite.
  for (let i = 0; i < noise.length; i++) noise[i] = -Math.log(-Math.log(noise[i] + 2 ** -25));
  // No gradient goes through a draw.
  const drawn = customGrad((x) => {
    const chosen = argMax(add(x as Tensor, tensor(noise, scores.shape)), -1);
    const isOneHot = labels.rank === scores.rank && labels.shape[labels.rank - 1] === scores.shape[scores.rank - 1];
    const value = isOneHot
      ? oneHot(cast(chosen, 'int32'), scores.shape[scores.rank - 1])
      : reshape(chosen, labels.shape);
    return { value: cast(value, labels.dtype), gradFunc: () => zerosLike(x as Tensor) };
  });
  return drawn(scores);
}
