import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import { reducedLoss, targetInput, type AttachedLoss, type LossOptions } from './loss.js';
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
  const indices = BigInt64Array.from({ length: count }, (_, i) => BigInt(i));
  // [classes, 1, …] against labels of [batch, 1, d₁, …]: true where the class is the label.
  const everyClass = e.constant(Tensor.of('int64', perClassShape(classes, shape.length), indices), 'classes');
  const isLabel = e.equal(e.unsqueeze(labels, [axis]), everyClass);
  const zero = e.scalar(0, dtype);
  const weights =
    classWeights === undefined ? undefined : classWeightTensor(e, classWeights, logProbabilities, classes);
  const weigh = (x: Value) => (weights === undefined ? x : e.mul(x, weights));
  // Chosen, not multiplied by 0: a class that the model rules out has log p = −∞.
  const terms =
    labelSmoothing === 0
      ? e.where(isLabel, weigh(value), zero)
      : e.mul(value, weigh(smoothed(e, e.cast(isLabel, dtype), labelSmoothing, count)));
  let losses = e.neg(e.reduceSum(terms, [axis]));
  let counts = weights === undefined ? undefined : e.reduceSum(e.where(isLabel, weights, zero), [axis]);
  if (ignoreIndex !== undefined) {
    const isIgnored = e.equal(labels, e.constant(Tensor.scalar('int64', ignoreIndex), 'ignore_index'));
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
