import { kinds } from '@adakit/core';
import { OnnxError } from '../error.js';
import { requireOptions } from '../given.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { classWeightTensor, requireClasses } from './classification.js';
import { canBeDrawn, overRoot, uniformLike } from './drawn.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type Loss, type LossOptions } from './loss.js';
import { floatOutput, type FloatOutput } from './model-output.js';

/**
 * Binary cross-entropy on logits x with targets t in [0, 1]: −p·t·log σ(x) − (1 − t)·log σ(−x), as
 * torch.nn.BCEWithLogitsLoss. The target, named `target` by default, has the output's shape.
 *
 * log σ(x) and log σ(−x) are the log-softmax of the pair (x, 0): stable for logits of any size, and smooth at x = 0,
 * where the usual form with |x| has a kink that automatic differentiation sees.
 *
 * @param options.positiveWeight p, the weight of positive targets, or one for each class; default 1
 * @param options.classAxis the axis of the classes, for one weight each; default 1, may count from the end
 */
export function bceWithLogits(
  options: LossOptions & { readonly positiveWeight?: number | readonly number[]; readonly classAxis?: number } = {},
): Loss {
  requireOptions('bceWithLogits', options, {
    ...LOSS_OPTIONS,
    positiveWeight: kinds.kind(
      'a number or a list of numbers',
      (weight) => Number.isFinite(weight) || kinds.numbers(weight) === undefined,
    ),
    classAxis: kinds.within({ integer: true }),
  });
  const name = 'bceWithLogits';
  const { positiveWeight = 1, classAxis = 1 } = options;
  /** log σ(x) and log σ(−x), on a new last axis. */
  const logProbabilitiesOf = (e: Emitter, { value, shape }: FloatOutput): Value => {
    const axis = shape.length;
    const pair = e.concat([e.unsqueeze(value, [axis]), e.unsqueeze(e.zerosLike(value), [axis])], axis);
    return e.node('LogSoftmax', [pair], { axis });
  };
  const drawn: Loss = {
    name: `${name} of drawn targets`,
    attach(e, graph) {
      const output = floatOutput(graph, name, options.output);
      const { value, shape, dtype } = output;
      const isPositive = e.less(uniformLike(e, value), e.cast(e.node('Sigmoid', [value]), 'float32'));
      const positive = e.cast(isPositive, dtype);
      const axis = shape.length;
      const weights = e.concat(
        [positive, e.sub(e.scalar(1, positive), positive)].map((each) => e.unsqueeze(each, [axis])),
        axis,
      );
      const losses = e.neg(e.reduceSum(e.mul(logProbabilitiesOf(e, output), weights), [axis]));
      return { loss: overRoot(e, losses), targets: [] };
    },
  };
  return {
    name,
    drawn: canBeDrawn(options) && positiveWeight === 1 ? drawn : undefined,
    attach(e, graph) {
      const output = floatOutput(graph, name, options.output);
      const { shape, dtype } = output;
      const target = targetInput(graph, options.target, { name: 'target', dtype, shape });
      const axis = shape.length;
      const logProbabilities = logProbabilitiesOf(e, output);
      const positive =
        typeof positiveWeight === 'number'
          ? e.scale(target, positiveWeight)
          : e.mul(target, perClass(e, output, positiveWeight, classAxis));
      const negative = e.sub(e.scalar(1, target), target);
      const weights = e.concat([e.unsqueeze(positive, [axis]), e.unsqueeze(negative, [axis])], axis);
      const losses = e.neg(e.reduceSum(e.mul(logProbabilities, weights), [axis]));
      return reducedLoss(e, graph, { losses, targets: [{ input: target }] }, options);
    },
  };
}

function perClass(e: Emitter, output: FloatOutput, weights: readonly number[], classAxis: number): Value {
  const classes = requireClasses('bceWithLogits', output, { classAxis });
  if (weights.length !== classes.count) {
    throw new OnnxError(
      'invalid-argument',
      `bceWithLogits: positiveWeight has ${weights.length} entries, the output '${output.value.name}' has ` +
        `${classes.count} classes`,
    );
  }
  return classWeightTensor(e, weights, output, classes);
}
