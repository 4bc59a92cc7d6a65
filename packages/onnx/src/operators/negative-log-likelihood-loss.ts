import { composite } from './composite.js';
import { lossShape, negativeLogLikelihood } from './likelihood.js';

/** The loss of log-probabilities [N, C, …] for labels [N, …], with optional class weights. */
export const NegativeLogLikelihoodLoss = composite({
  op: 'NegativeLogLikelihoodLoss',
  since: 13,
  native: 'none',
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: lossShape(ctx) }],
  define(ctx) {
    const [logProbabilities, labels] = [ctx.input(0), ctx.input(1)];
    return [negativeLogLikelihood(ctx, { logProbabilities, labels, weights: ctx.has(2) ? ctx.input(2) : undefined })];
  },
});
