import {
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  meanings,
  movingAverage,
  positive,
  where,
} from '@adakit/core';

/**
 * ADOPT: Adam that divides by the second moment of before (Taniguchi et al. 2024, algorithm 2; options as the authors’ code).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * first update: v = g², and nothing more
 * u = clip(g / max(√v, ε), ±(t − 1)^¼)
 * m ← β₁m + (1 − β₁)u
 * θ ← θ − ηm
 * v ← β₂v + (1 − β₂)g²
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.9999, `eps` 1e-6, `weightDecay` 0 (decoupled).
 */
export const adopt = defineOptimizer({
  name: 'adopt',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.9999),
    eps: positive(1e-6, { because: 'a gradient that was zero at first is divided by it' }),
    weightDecay: coefficient(0),
  },
  slots: () => [
    { name: 'expAvg', meaning: { of: 'mean(grad / rms(grad))' } },
    { name: 'expAvgSq', meaning: { of: `${meanings.meanOfSquare} from the first` } },
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const first = step.equal(1);
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const limit = step.sub(1).pow(0.25);
    const scaled = grad.div(slots.expAvgSq.sqrt().max(eps)).clip(limit.neg(), limit);
    const expAvg = where(first, 0, movingAverage(slots.expAvg, scaled, beta1));
    const expAvgSq = where(first, grad.square(), movingAverage(slots.expAvgSq, grad.square(), beta2));
    return { param: theta.sub(expAvg.mul(lr)), slots: { expAvg, expAvgSq } };
  },
});
