import { kinds, type OptionKind } from '@adakit/core';
import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import type { Dim } from '../shape/dim.js';
import { differentShapes, printShape, type Shape } from '../shape/shape.js';

/** What a loss needs from the caller besides the model's inputs. */
export interface LossTarget {
  /** The graph input to feed. */
  readonly input: Value;
  /** Number of classes, when the target holds integer labels: every label must be in [0, classes). */
  readonly classes?: number;
  /** A label that marks positions to leave out; the one value outside [0, classes) that is allowed. */
  readonly ignoreIndex?: number;
  /** How many of the first labels of each row count; the rest is padding. */
  readonly lengths?: Value;
  /** For a target that counts elements along a dimension, that dimension: every count must be in [0, it]. */
  readonly countsUpTo?: Dim;
}

/** A training objective: a function of model outputs and targets, written as graph nodes. */
export interface Loss {
  /** E.g. `crossEntropy`; for messages. */
  readonly name: string;
  /**
   * Appends the loss to a graph.
   *
   * @param parameters what is trained, for penalties on it; by default all float initializers
   * @returns the loss, a single number, and the inputs it needs, which it added or found
   */
  attach(e: Emitter, graph: Graph, parameters?: readonly Value[]): AttachedLoss;
  /**
   * What the curvature of the loss is estimated with, for optimizers that take in such an estimate (Sophia): the same loss with
   * targets that are drawn from the model's own output, of the distribution whose negative log-likelihood the loss is. With ℓ its
   * terms, N of them, it is Σ ℓ / √N: the square of its gradient, element by element, is on average the diagonal of the
   * Gauss–Newton matrix of the mean Σ ℓ / N (the Gauss–Newton–Bartlett estimator, Liu et al. 2023, §2.3). It draws with nodes such
   * as RandomUniformLike, and is not differentiated through what it draws. Default: none, for what is no likelihood.
   */
  readonly drawn?: Loss | undefined;
}

/** What a {@link Loss} has added to a graph. */
export interface AttachedLoss {
  readonly loss: Value;
  readonly targets: readonly LossTarget[];
}

/** How the losses of single elements become one number. */
export type Reduction = 'mean' | 'sum';

/** What all losses take: which output they are of, what they are compared with, and how elements become one number. */
export interface LossOptions {
  /** The model output that the loss looks at; by default the only one. */
  readonly output?: string;
  /**
   * Name of the graph input that receives the target. An input of the model of that name is the target itself (an
   * autoencoder's), and losses that name the same one share it.
   */
  readonly target?: string;
  /** Default: `mean`. */
  readonly reduction?: Reduction;
  /**
   * Name of a further target: a float weight for each sample, of shape [batch], by which its losses are multiplied before
   * they are reduced. The mean divides by what it would divide by without them.
   */
  readonly sampleWeights?: string;
}

/** {@link LossOptions}, as they may be. */
export const LOSS_OPTIONS: Readonly<Record<keyof LossOptions, OptionKind>> = {
  output: kinds.text,
  target: kinds.text,
  reduction: kinds.oneOf('mean', 'sum'),
  sampleWeights: kinds.text,
};

/** Mean or sum over all elements. */
export function reduce(e: Emitter, x: Value, reduction: Reduction = 'mean'): Value {
  return reduction === 'sum' ? e.reduceSum(x) : e.node('ReduceMean', [x], { keepdims: 0 });
}

/**
 * The loss that losses [batch, …] add up to as the options say.
 *
 * @param counts what each of them counts in the mean; 1 by default
 */
export function reducedLoss(
  e: Emitter,
  graph: Graph,
  { losses, counts, targets }: { losses: Value; counts?: Value | undefined; targets: readonly LossTarget[] },
  { reduction = 'mean', sampleWeights }: LossOptions,
): AttachedLoss {
  const weights = sampleWeights === undefined ? undefined : weightInput(graph, sampleWeights, losses);
  const axes = (losses.shape ?? []).slice(1).map((_, i) => i + 1);
  const weighted = weights === undefined ? losses : e.mul(losses, e.unsqueeze(weights, axes));
  const loss =
    counts === undefined || reduction !== 'mean'
      ? reduce(e, weighted, reduction)
      : e.div(e.reduceSum(weighted), e.reduceSum(counts));
  return { loss, targets: weights === undefined ? targets : [...targets, { input: weights }] };
}

function weightInput(graph: Graph, name: string, { dtype, shape = [] }: Value): Value {
  if (dtype === undefined || shape.length === 0) {
    throw new OnnxError('invalid-argument', `sampleWeights '${name}': the losses have no batch axis`);
  }
  return targetInput(graph, name, { name, dtype, shape: [shape[0]] });
}

/**
 * The graph input that receives a target: a new one, or the one of that name when a name is asked for.
 *
 * @param wanted the name asked for
 * @param needed the name otherwise, and what the target must be
 * @throws {OnnxError} `invalid-argument` for an input of another dtype or shape under the name asked for
 */
export function targetInput(
  graph: Graph,
  wanted: string | undefined,
  needed: { readonly name: string; readonly dtype: DType; readonly shape: Shape },
): Value {
  const { name, dtype, shape } = needed;
  const present = wanted === undefined ? undefined : graph.inputs.find((input) => input.name === wanted);
  if (present === undefined) return graph.addInput(graph.uniqueName(wanted ?? name), { dtype, shape });
  if (present.dtype !== dtype || present.shape === undefined || differentShapes(present.shape, shape)) {
    throw new OnnxError(
      'invalid-argument',
      `the target '${present.name}' must be ${dtype} ${printShape(shape)}, but there is an input of that name that is ` +
        `${present.dtype ?? '?'} ${printShape(present.shape)}; give the target another name`,
    );
  }
  return present;
}
