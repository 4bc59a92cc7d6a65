import { composite } from '../entry/composite.js';
import type { DefinitionContext, InferContext } from '../entry/operator.js';
import type { Value } from '../graph/value.js';
import { printShape } from '../shape/shape.js';

/** The loss of log-probabilities [N, C, …] for labels [N, …], with optional class weights. */
export const NegativeLogLikelihoodLoss = composite({
  op: 'NegativeLogLikelihoodLoss',
  since: 13,
  mixes: true,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: lossShape(ctx) }],
  define(ctx) {
    const [logProbabilities, labels] = [ctx.input(0), ctx.input(1)];
    return [negativeLogLikelihood(ctx, { logProbabilities, labels, weights: ctx.has(2) ? ctx.input(2) : undefined })];
  },
});

/** Log-softmax over the classes and the negative log-likelihood of the labels; the log-probabilities are output 1. */
export const SoftmaxCrossEntropyLoss = composite({
  op: 'SoftmaxCrossEntropyLoss',
  since: 13,
  mixes: true,
  infer: (ctx) => [
    { dtype: ctx.dtype(0), shape: lossShape(ctx) },
    { dtype: ctx.dtype(0), shape: ctx.shape(0) },
  ],
  define(ctx) {
    const logProbabilities = ctx.e.node('LogSoftmax', [ctx.input(0)], { axis: 1 });
    const weights = ctx.has(2) ? ctx.input(2) : undefined;
    return [negativeLogLikelihood(ctx, { logProbabilities, labels: ctx.input(1), weights }), logProbabilities];
  },
});

/**
 * The weighted negative log-likelihood of labels [N, …] under log-probabilities [N, C, …], reduced as the attribute
 * says: the mean is that of the weights, and labels equal to `ignore_index` do not count.
 */
function negativeLogLikelihood(
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
function lossShape(ctx: InferContext) {
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
