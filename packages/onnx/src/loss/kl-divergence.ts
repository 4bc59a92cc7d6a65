import { kinds } from '@adakit/core';
import { requireOptions } from '../given.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { requireClasses } from './classification.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type Loss, type LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/** Options of {@link klDivergence}. */
export interface KlDivergenceOptions extends LossOptions {
  /** What the target holds: `probabilities` (the default), or the `logits` of another model, to learn from it. */
  readonly targets?: 'probabilities' | 'logits';
  /** τ > 0; default 1. */
  readonly temperature?: number;
  /** The axis of the output that holds the classes; default 1, may count from the end. */
  readonly classAxis?: number;
}

/**
 * Kullback-Leibler divergence τ² Σ t (log t − log softmax(x/τ)) of the model's distribution from the target's: knowledge
 * distillation (Hinton et al., "Distilling the knowledge in a neural network", 2015). The output holds logits x of shape
 * [batch, classes, …]; the target, named `target` by default, has its shape and holds probabilities t, or logits z with
 * t = softmax(z/τ). τ² keeps the size of the gradient independent of τ.
 *
 * The mean is over batch and positions, not over classes: for [batch, classes] torch.nn.KLDivLoss calls it `batchmean`.
 */
export function klDivergence(options: KlDivergenceOptions = {}): Loss {
  requireOptions('klDivergence', options, {
    ...LOSS_OPTIONS,
    targets: kinds.oneOf('probabilities', 'logits'),
    temperature: kinds.within({ above: 0 }),
    classAxis: kinds.within({ integer: true }),
  });
  const name = 'klDivergence';
  const { targets: kind = 'probabilities', temperature = 1 } = options;
  return {
    name,
    attach(e, graph) {
      const output = floatOutput(graph, name, options.output);
      const { value, shape, dtype } = output;
      const { axis } = requireClasses(name, output, options);
      const target = targetInput(graph, options.target, { name: 'target', dtype, shape });
      const logSoftmax = (logits: Value) => e.node('LogSoftmax', [e.scale(logits, 1 / temperature)], { axis });
      const [probabilities, entropy] = kind === 'logits' ? ofLogits(e, logSoftmax(target)) : ofProbabilities(e, target);
      const terms = e.sub(entropy, e.mul(probabilities, logSoftmax(value)));
      const losses = e.scale(e.reduceSum(terms, [axis]), temperature ** 2);
      return reducedLoss(e, graph, { losses, targets: [{ input: target }] }, options);
    },
  };
}

/** t and t · log t. */
function ofLogits(e: Emitter, logProbabilities: Value): [Value, Value] {
  const probabilities = e.exp(logProbabilities);
  return [probabilities, e.mul(probabilities, logProbabilities)];
}

/** As {@link ofLogits}; 0 · log 0 = 0. */
function ofProbabilities(e: Emitter, probabilities: Value): [Value, Value] {
  const isPositive = e.greater(probabilities, e.scalar(0, probabilities));
  const safe = e.where(isPositive, probabilities, e.scalar(1, probabilities));
  return [probabilities, e.mul(probabilities, e.log(safe))];
}
