import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/** What a loss needs from the caller besides the model's inputs. */
export interface Target {
  /** The graph input to feed. */
  readonly input: Value;
  /** Number of classes, when the target holds integer labels: every label must be in [0, classes). */
  readonly classes?: number;
  /** A label that marks positions to leave out; the one value outside [0, classes) that is allowed. */
  readonly ignoreIndex?: number;
  /** How many of the first labels of each row count; the rest is padding. */
  readonly lengths?: Value;
}

/** A training objective: a function of model outputs and targets, written as graph nodes. */
export interface Loss {
  /** E.g. `crossEntropy`; for messages. */
  readonly name: string;
  /**
   * Appends the loss to a graph.
   *
   * @returns the loss, a single number, and the inputs it added
   */
  attach(e: Emitter, graph: Graph): { readonly loss: Value; readonly targets: readonly Target[] };
}

/** How the losses of single elements become one number. */
export type Reduction = 'mean' | 'sum';

export interface LossOptions {
  /** The model output that the loss looks at; by default the only one. */
  readonly output?: string;
  /** Name of the graph input that receives the target. */
  readonly target?: string;
  /** Default: `mean`. */
  readonly reduction?: Reduction;
}

/** Mean or sum over all elements. */
export function reduce(e: Emitter, x: Value, reduction: Reduction = 'mean'): Value {
  return reduction === 'sum' ? e.reduceSum(x) : e.node('ReduceMean', [x], { keepdims: 0 });
}
