import { coefficient, decay, defineOptimizer, learningRate, meanOfGradient, movingAverage } from '@adakit/core';

/**
 * signSGD: the sign of the gradient, or of its average (Bernstein et al. 2018, algorithms 1 and 2 (Signum)).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * m ← μm + (1 − μ)g          m = g with μ = 0
 * θ ← θ − η · sign(m)
 * ```
 *
 * Defaults: `lr` 1e-3, `momentum` 0.9, `weightDecay` 0 (decoupled).
 */
export const signsgd = defineOptimizer({
  name: 'signsgd',
  hyperparameters: {
    lr: learningRate(1e-3),
    momentum: coefficient(0.9),
    weightDecay: coefficient(0),
  },
  slots: ({ momentum }) => (momentum ? [meanOfGradient('momentum')] : []),

  update({ param, grad, slots, hyper, uses }) {
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const expAvg = uses.momentum ? movingAverage(slots.expAvg, grad, hyper.momentum) : grad;
    return { param: theta.sub(expAvg.sign().mul(hyper.lr)), slots: uses.momentum ? { expAvg } : {} };
  },
});
