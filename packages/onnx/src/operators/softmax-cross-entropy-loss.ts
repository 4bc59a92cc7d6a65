import { composite } from './composite.js';
import { lossShape, negativeLogLikelihood } from './likelihood.js';

/** Log-softmax over the classes and the negative log-likelihood of the labels; the log-probabilities are output 1. */
export const SoftmaxCrossEntropyLoss = composite({
  op: 'SoftmaxCrossEntropyLoss',
  since: 13,
  native: 'none',
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
