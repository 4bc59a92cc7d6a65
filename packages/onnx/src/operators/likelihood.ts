import type { Value } from '../graph/value.js';
import { printShape } from '../shape/shape.js';
import type { DefinitionContext, InferContext } from './operator.js';

/**
 * The weighted negative log-likelihood of labels [N, …] under log-probabilities [N, C, …], reduced as the attribute
 * says: the mean is that of the weights, and labels equal to `ignore_index` do not count.
 */
export function negativeLogLikelihood(
  ctx: DefinitionContext,
  options: { readonly logProbabilities: Value; readonly labels: Value; readonly weights: Value | undefined },
): Value {
  const { e, node } = ctx;
  const { logProbabilities, labels, weights } = options;
  const ignored = node.attributes.int('ignore_index');
  const isIgnored = ignored === undefined ? undefined : e.equal(labels, e.scalar(ignored, labels));
  const safe = isIgnored === undefined ? labels : e.where(isIgnored, e.scalar(0, labels), labels);
  const picked = e.node('GatherElements', [logProbabilities, e.unsqueeze(safe, [1])], { axis: 1 });
  const loss = e.neg(e.squeeze(picked, [1]));
  const ones = e.expandLike(e.scalar(1, loss), loss);
  const given = weights === undefined ? ones : e.gather(weights, safe);
  const weight = isIgnored === undefined ? given : e.where(isIgnored, e.scalar(0, given), given);
  const weighted = e.mul(loss, weight);
  switch (reductionOf(ctx)) {
    case 'none':
      return weighted;
    case 'sum':
      return e.reduceSum(weighted);
    case 'mean':
      return e.div(e.reduceSum(weighted), e.reduceSum(weight));
  }
}

/** The shape of the loss. */
export function lossShape(ctx: InferContext) {
  const [scores, labels] = [ctx.shape(0), ctx.shape(1)];
  if (labels.length !== scores.length - 1) {
    ctx.fail(`labels ${printShape(labels)} do not fit scores ${printShape(scores)}, which have one axis more`);
  }
  return reductionOf(ctx) === 'none' ? labels : [];
}

function reductionOf(ctx: Pick<InferContext, 'node' | 'fail'>): 'none' | 'sum' | 'mean' {
  const reduction = ctx.node.attributes.string('reduction', 'mean');
  if (reduction !== 'none' && reduction !== 'sum' && reduction !== 'mean') {
    return ctx.fail(`reduction '${reduction}' is none of 'none', 'sum' and 'mean'`);
  }
  return reduction;
}
