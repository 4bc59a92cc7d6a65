import {
  coefficient,
  correctedRate,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  positive,
} from '@adakit/core';

/**
 * AdaMod: Adam whose rates are bounded by their own average (Ding et al. 2019, algorithm 1; options as the authors’ code).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * r = η√(1 − β₂ᵗ)/(1 − β₁ᵗ) / (√v + ε)
 * s ← β₃s + (1 − β₃)r
 * θ ← θ − min(r, s) · m
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.99, `beta3` 0.9999, `eps` 1e-8, `weightDecay` 0 (decoupled).
 */
export const adamod = defineOptimizer({
  name: 'adamod',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.99),
    beta3: decayRate(0.9999),
    eps: positive(1e-8, { because: 'the average of rates never forgets an infinite one' }),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare(), { name: 'expAvgLr', meaning: { of: 'mean(rate)', decay: 'beta3' } }],

  update({ param, grad, slots, hyper, uses, step }) {
    const { beta1, beta2, beta3, eps } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const corrected = correctedRate(hyper, step);
    const rate = corrected.div(expAvgSq.sqrt().add(eps));
    const expAvgLr = movingAverage(slots.expAvgLr, rate, beta3);
    return { param: theta.sub(rate.min(expAvgLr).mul(expAvg)), slots: { expAvg, expAvgSq, expAvgLr } };
  },
});
