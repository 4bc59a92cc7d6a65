import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { dtypeCode } from '../model/dtype.js';
import type { Classes, ClassificationOptions } from './classification.js';
import { targetInput, type AttachedLoss, type LossOptions } from './loss.js';
import type { FloatOutput } from './model-output.js';

/** Whether a loss is a mean of terms that count alike, as `Loss.drawn` needs. */
export function canBeDrawn({ reduction = 'mean', sampleWeights }: LossOptions): boolean {
  return reduction === 'mean' && sampleWeights === undefined;
}

/** Random numbers in [0, 1), float32, of the shape of a value. */
export function uniformLike(e: Emitter, x: Value): Value {
  return e.node('RandomUniformLike', [x], { dtype: dtypeCode('float32') });
}

/** Standard normal random numbers of the shape and dtype of a value. */
export function normalLike(e: Emitter, x: Value): Value {
  return e.node('RandomNormalLike', [x]);
}

/** Σ ℓ / √N. @param count N; by default the number of terms */
export function overRoot(e: Emitter, losses: Value, count?: Value): Value {
  const terms = count ?? e.cast(e.node('Size', [losses]), losses.dtype ?? 'float32');
  return e.div(e.reduceSum(losses), e.node('Sqrt', [terms]));
}

/**
 * −log p of labels drawn with the probabilities p: argmax(log p + g) where g is Gumbel noise −log(−log u) (Gumbel 1954).
 * Positions whose own label is the one to ignore do not count.
 */
export function drawnLabelLoss(
  e: Emitter,
  graph: Graph,
  { value: logProbabilities, shape, dtype }: FloatOutput,
  { axis, count }: Classes,
  { ignoreIndex, target }: ClassificationOptions,
): AttachedLoss {
  const logarithm = (x: Value): Value => e.node('Log', [x]);
  const gumbel = e.neg(logarithm(e.neg(logarithm(uniformLike(e, logProbabilities)))));
  const scores = e.add(e.cast(logProbabilities, 'float32'), gumbel);
  const labels = e.node('ArgMax', [scores], { axis, keepdims: 1 });
  const losses = e.neg(e.squeeze(e.node('GatherElements', [logProbabilities, labels], { axis }), [axis]));
  if (ignoreIndex === undefined) return { loss: overRoot(e, losses), targets: [] };
  const given = targetInput(graph, target, {
    name: 'labels',
    dtype: 'int64',
    shape: shape.filter((_, i) => i !== axis),
  });
  const [zero, one] = [e.scalar(0, dtype), e.scalar(1, dtype)];
  const isIgnored = e.equal(given, e.scalar(ignoreIndex, given));
  const counts = e.reduceSum(e.where(isIgnored, zero, one));
  return {
    loss: overRoot(e, e.where(isIgnored, zero, losses), counts),
    targets: [{ input: given, classes: count, ignoreIndex }],
  };
}
