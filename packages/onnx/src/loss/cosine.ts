import { kinds } from '@adakit/core';
import { OnnxError } from '../error.js';
import { requireOptions } from '../given.js';
import type { Value } from '../graph/value.js';
import { normalizeAxis } from '../shape/shape.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type Loss, type LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/**
 * Cosine distance 1 − x·t / max(‖x‖‖t‖, ε) between output and target along an axis, as 1 −
 * torch.nn.functional.cosine_similarity and torch.nn.CosineEmbeddingLoss with labels 1 (pairs that belong together). The
 * target, named `target` by default, has the output's shape.
 *
 * @param options.axis default: the last
 * @param options.eps ε > 0, default 1e-8
 */
export function cosineDistance(options: LossOptions & { readonly axis?: number; readonly eps?: number } = {}): Loss {
  requireOptions('cosineDistance', options, {
    ...LOSS_OPTIONS,
    axis: kinds.within({ integer: true }),
    eps: kinds.within({ above: 0 }),
  });
  const name = 'cosineDistance';
  const { axis = -1, eps = 1e-8 } = options;
  return {
    name,
    attach(e, graph) {
      const { value, shape, dtype } = floatOutput(graph, name, options.output);
      const along = normalizeAxis(axis, shape.length);
      if (along === undefined) {
        throw new OnnxError(
          'invalid-argument',
          `${name}: axis ${axis} is outside the output '${value.name}' of rank ${shape.length}`,
        );
      }
      const target = targetInput(graph, options.target, { name: 'target', dtype, shape });
      const dot = (a: Value, b: Value): Value => e.reduceSum(e.mul(a, b), [along]);
      // The root is taken after the limit, so that its derivative is finite for a zero vector.
      const squares = e.mul(dot(value, value), dot(target, target));
      const norms = e.sqrt(e.node('Max', [squares, e.scalar(eps * eps, squares)]));
      const distance = e.sub(e.scalar(1, norms), e.div(dot(value, target), norms));
      return reducedLoss(e, graph, { losses: distance, targets: [{ input: target }] }, options);
    },
  };
}
