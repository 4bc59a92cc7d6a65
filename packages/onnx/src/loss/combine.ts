import { kindOf, kinds } from '@adakit/core';
import { OnnxError } from '../error.js';
import { requireLoss, requireOptions } from '../given.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import type { Loss } from './loss.js';
import { floatOutput } from './model-output.js';

/** One term of {@link weightedSum}. */
export interface WeightedLoss {
  readonly loss: Loss;
  /** Default: 1. */
  readonly weight?: number;
}

/**
 * Σ weight · loss: several outputs with a target each, or an auxiliary loss beside the main one. Terms that are told the
 * same `target` share it.
 */
export function weightedSum(terms: readonly WeightedLoss[]): Loss {
  const given: unknown = terms;
  if (!Array.isArray(given)) {
    throw new OnnxError('invalid-argument', `weightedSum: a list of { loss, weight }, got ${kindOf(given)}`);
  }
  for (const term of terms) {
    requireOptions('weightedSum', term, { loss: kinds.anything, weight: kinds.within() });
    requireLoss(term.loss);
  }
  if (terms.length === 0) throw new OnnxError('invalid-argument', 'weightedSum: give at least one loss');
  return {
    name: `weightedSum(${terms.map(({ loss }) => loss.name).join(', ')})`,
    attach(e, graph, parameters) {
      const attached = terms.map(({ loss }) => loss.attach(e, graph, parameters));
      const weighted = attached.map(({ loss }, i) => e.scale(loss, terms[i].weight ?? 1));
      return {
        loss: weighted.reduce((sum, term) => e.add(sum, term)),
        targets: attached.flatMap(({ targets }) => targets),
      };
    },
  };
}

/**
 * A model output that already is the loss: a single float number.
 *
 * @param options.output default: the only output, or the only one that is a single float number
 */
export function outputLoss(options: { readonly output?: string } = {}): Loss {
  requireOptions('outputLoss', options, { output: kinds.text });
  const name = 'outputLoss';
  return {
    name,
    attach(e, graph) {
      const numbers = graph.outputs.filter(isSingleNumber);
      const only = numbers.length === 1 ? numbers[0].name : undefined;
      const { value, shape } = floatOutput(graph, name, options.output ?? only);
      if (shape.some((dim) => dim !== 1)) {
        throw new OnnxError(
          'invalid-argument',
          `${name}: the output '${value.name}' has shape [${shape.map(String).join(', ')}]; a loss is a single number`,
        );
      }
      return { loss: e.reduceSum(value), targets: [] };
    },
  };
}

function isSingleNumber({ shape, dtype }: Value): boolean {
  return shape?.every((dim) => dim === 1) === true && dtype !== undefined && isDifferentiable(dtype);
}

/** What {@link regularized} adds to a loss. θ are the trained parameters. */
export interface Penalties {
  /** λ₁ of λ₁·Σ|θ|; default 0. */
  readonly l1?: number;
  /**
   * λ₂ of λ₂·Σθ²; default 0. The gradient is 2λ₂θ, so that λ₂ = λ/2 does with SGD what a weight decay of λ does. An adaptive
   * optimizer scales this gradient like any other, where a decoupled weight decay (AdamW) stays outside.
   */
  readonly l2?: number;
  /** Which of the trained parameters are penalized; default: those of rank 2 and more, so that biases go free. */
  readonly match?: RegExp;
}

/** A loss plus penalties on the size of the parameters that are trained. */
export function regularized(loss: Loss, penalties: Penalties): Loss {
  requireLoss(loss);
  requireOptions('regularized', penalties, {
    l1: kinds.within({ atLeast: 0 }),
    l2: kinds.within({ atLeast: 0 }),
    match: kinds.kind('a regular expression', (match) => match instanceof RegExp),
  });
  const { l1 = 0, l2 = 0, match } = penalties;
  return {
    name: `regularized(${loss.name})`,
    // Penalties are no part of what the model says of the data.
    drawn: loss.drawn,
    attach(e, graph, parameters = graph.initializers) {
      const weights = parameters.filter(
        ({ name, dtype, shape }) =>
          (dtype === 'float32' || dtype === 'float64') &&
          (match === undefined ? (shape?.length ?? 0) >= 2 : name.search(match) >= 0),
      );
      if (weights.length === 0) {
        throw new OnnxError(
          'invalid-argument',
          `regularized: no trained parameter matches ${String(match ?? 'rank >= 2')}; there are ` +
            parameters.map(({ name }) => `'${name}'`).join(', '),
        );
      }
      const attached = loss.attach(e, graph, parameters);
      const terms = weights.flatMap((weight) => [
        ...(l1 === 0 ? [] : [e.scale(e.reduceSum(e.node('Abs', [weight])), l1)]),
        ...(l2 === 0 ? [] : [e.scale(e.reduceSum(e.square(weight)), l2)]),
      ]);
      return { ...attached, loss: terms.reduce((sum, term) => e.add(sum, term), attached.loss) };
    },
  };
}
