import { kinds, type OptionKind } from '@adakit/core';
import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type AttachedLoss, type LossOptions } from './loss.js';
import type { FloatOutput } from './model-output.js';

/** Options of losses whose targets are integer labels, of the shape of the output without its axis of classes. */
export interface ClassificationOptions extends LossOptions {
  /**
   * The axis of the output that holds the classes; default 1, as in PyTorch. It is 2, or −1, for the
   * outputs [batch, position, class] of most language models.
   */
  readonly classAxis?: number;
  /** Labels with this value are left out of loss and mean, e.g. padding. */
  readonly ignoreIndex?: number;
  /** Weight of each class; the mean is over the weights of the labels, as in PyTorch. */
  readonly classWeights?: readonly number[];
}

/** {@link ClassificationOptions}, as they may be. */
export const CLASSIFICATION_OPTIONS: Readonly<Record<keyof ClassificationOptions, OptionKind>> = {
  ...LOSS_OPTIONS,
  classAxis: kinds.within({ integer: true }),
  ignoreIndex: kinds.within({ integer: true }),
  classWeights: kinds.numbers,
};

/** Which axis of an output holds the classes, and how many there are. */
export interface Classes {
  readonly axis: number;
  readonly count: number;
}

/** Checks that an output has an axis of classes, of known length. */
export function requireClasses(
  loss: string,
  { value, shape }: FloatOutput,
  { classWeights, classAxis = 1 }: ClassificationOptions,
): Classes {
  const axis = classAxis < 0 ? classAxis + shape.length : classAxis;
  const count = shape.length < 2 ? undefined : shape[axis];
  const fail = (problem: string): never => {
    throw new OnnxError('invalid-argument', `${loss}: ${problem}`);
  };
  if (count === undefined || !isStatic(count)) {
    const wanted = classAxis === 1 ? '[batch, classes, …]' : `with classes on axis ${classAxis}`;
    const last = shape.length > 1 ? shape[shape.length - 1] : undefined;
    const hint =
      last !== undefined && isStatic(last) ? `; if the last axis has the classes, say so with classAxis: -1` : '';
    return fail(
      `the output '${value.name}' must have shape ${wanted} with a known number of classes, it has [${shape.map(String).join(', ')}]${hint}`,
    );
  }
  if (classWeights !== undefined && classWeights.length !== count) {
    return fail(`classWeights has ${classWeights.length} entries, the output '${value.name}' has ${count} classes`);
  }
  return { axis, count };
}

/**
 * −Σ w · t · log p over classes and positions, where t is the one-hot label (smoothed: t(1 − ε) + ε/classes), divided
 * for the mean by the sum of the labels' weights. That is 0 / 0, which is no number, when every label is ignored, as in
 * PyTorch.
 */
export function labelLoss(
  e: Emitter,
  graph: Graph,
  logProbabilities: FloatOutput,
  classes: Classes,
  options: ClassificationOptions & { readonly labelSmoothing?: number },
): AttachedLoss {
  const { ignoreIndex, classWeights, labelSmoothing = 0 } = options;
  const { axis, count } = classes;
  const { value, shape, dtype } = logProbabilities;
  const labels = targetInput(graph, options.target, {
    name: 'labels',
    dtype: 'int64',
    shape: shape.filter((_, i) => i !== axis),
  });
  const isIgnored =
    ignoreIndex === undefined
      ? undefined
      : e.equal(labels, e.constant(Tensor.scalar('int64', ignoreIndex), 'ignore_index'));
  // Any class will do where the label does not count.
  const chosen = isIgnored === undefined ? labels : e.where(isIgnored, e.scalar(0, labels), labels);
  // Picked, not multiplied by 0: a class that the model rules out has log p = −∞.
  const picked = e.squeeze(e.node('GatherElements', [value, e.unsqueeze(chosen, [axis])], { axis }), [axis]);
  const weights =
    classWeights === undefined ? undefined : classWeightTensor(e, classWeights, logProbabilities, classes);
  const ofLabels = weights === undefined ? undefined : e.gather(e.reshape(weights, [-1]), chosen);
  const weighted = ofLabels === undefined ? picked : e.mul(picked, ofLabels);
  const share = labelSmoothing === 0 ? undefined : labelSmoothing / count;
  const everyClass = () => e.reduceSum(weights === undefined ? value : e.mul(value, weights), [axis]);
  let losses = e.neg(
    share === undefined ? weighted : e.add(e.scale(weighted, 1 - labelSmoothing), e.scale(everyClass(), share)),
  );
  let counts = ofLabels;
  if (isIgnored !== undefined) {
    const zero = e.scalar(0, dtype);
    losses = e.where(isIgnored, zero, losses);
    counts = e.where(isIgnored, zero, counts ?? e.scalar(1, dtype));
  }
  const targets = [{ input: labels, classes: count, ...(ignoreIndex !== undefined && { ignoreIndex }) }];
  return reducedLoss(e, graph, { losses, counts, targets }, options);
}

/** t(1 − ε) + ε/classes (Szegedy et al. 2016, §7). */
export function smoothed(e: Emitter, target: Value, epsilon: number, classes: number): Value {
  if (epsilon === 0) return target;
  return e.add(e.scale(target, 1 - epsilon), e.scalar(epsilon / classes, target));
}

/** Class weights of shape [classes, 1, …], to broadcast over an output of shape [batch, classes, …]. */
export function classWeightTensor(
  e: Emitter,
  weights: readonly number[],
  { shape, dtype }: FloatOutput,
  classes: Classes,
): Value {
  const data = dtype === 'float64' ? Float64Array.from(weights) : Float32Array.from(weights);
  return e.constant(Tensor.of(dtype, perClassShape(classes, shape.length), data), 'class_weights');
}

function perClassShape({ axis, count }: Classes, rank: number): number[] {
  return [count, ...new Array<number>(rank - 1 - axis).fill(1)];
}
