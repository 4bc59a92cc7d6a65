import { kinds } from '@adakit/core';
import { OnnxError } from '../error.js';
import { requireOptions } from '../given.js';
import {
  CLASSIFICATION_OPTIONS,
  classWeightTensor,
  labelLoss,
  requireClasses,
  smoothed,
  type ClassificationOptions,
} from './classification.js';
import { canBeDrawn, drawnLabelLoss } from './drawn.js';
import { reducedLoss, targetInput, type Loss } from './loss.js';
import { floatOutput } from './model-output.js';

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions extends ClassificationOptions {
  /** ε in [0, 1): how much of the target is spread evenly over all classes. Default: 0. */
  readonly labelSmoothing?: number;
  /** The target holds a distribution over the classes, of the output's shape, instead of labels. */
  readonly softTargets?: boolean;
}

/**
 * Softmax cross-entropy −Σ t · log softmax(x), as torch.nn.CrossEntropyLoss.
 *
 * The output holds logits of shape [batch, classes, d₁, …], or with the classes on `classAxis`. The target, named `labels`
 * by default, is int64 of shape [batch, d₁, …] with values in [0, classes); with `softTargets` it is named `target`,
 * holds probabilities and has the output's shape. The mean over labels is weighted by their class weights, that over soft
 * targets is not. Label smoothing: Szegedy et al., "Rethinking the inception architecture" (2016), §7.
 */
export function crossEntropy(options: CrossEntropyOptions = {}): Loss {
  requireOptions('crossEntropy', options, {
    ...CLASSIFICATION_OPTIONS,
    labelSmoothing: kinds.within({ atLeast: 0, below: 1 }),
    softTargets: kinds.flag,
  });
  const name = 'crossEntropy';
  const { labelSmoothing = 0, softTargets = false, classWeights } = options;
  const fail = (problem: string): never => {
    throw new OnnxError('invalid-argument', `${name}: ${problem}`);
  };
  if (softTargets && options.ignoreIndex !== undefined) fail('ignoreIndex needs labels; soft targets have none');
  // Smoothed or soft targets have the same Gauss–Newton matrix as labels: it depends on the output alone.
  const drawn: Loss = {
    name: `${name} of drawn labels`,
    attach(e, graph) {
      const logits = floatOutput(graph, name, options.output);
      const classes = requireClasses(name, logits, options);
      const value = e.node('LogSoftmax', [logits.value], { axis: classes.axis });
      return drawnLabelLoss(e, graph, { ...logits, value }, classes, options);
    },
  };
  return {
    name,
    drawn: canBeDrawn(options) && classWeights === undefined ? drawn : undefined,
    attach(e, graph) {
      const logits = floatOutput(graph, name, options.output);
      const classes = requireClasses(name, logits, options);
      const { axis, count } = classes;
      const value = e.node('LogSoftmax', [logits.value], { axis });
      if (!softTargets) return labelLoss(e, graph, { ...logits, value }, classes, options);

      const { dtype, shape } = logits;
      const target = targetInput(graph, options.target, { name: 'target', dtype, shape });
      const distribution = smoothed(e, target, labelSmoothing, count);
      const weighted =
        classWeights === undefined
          ? distribution
          : e.mul(distribution, classWeightTensor(e, classWeights, logits, classes));
      const losses = e.neg(e.reduceSum(e.mul(value, weighted), [axis]));
      return reducedLoss(e, graph, { losses, targets: [{ input: target }] }, options);
    },
  };
}
