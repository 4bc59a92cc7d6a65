import {
  coefficient,
  correctedRate,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  meanings,
  meanOfGradient,
  movingAverage,
  positive,
} from '@adakit/core';

/**
 * EAdam: Adam whose ε grows with what is kept (Yuan & Gao 2020, algorithm 1; decay as in the authors' code).
 *
 * ```text
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g² + ε          kept: without gradients v tends to ε/(1 − β₂)
 * θ ← θ − η√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/√v
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0 (coupled).
 */
export const eadam = defineOptimizer({
  name: 'eadam',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: positive(1e-8, { because: 'a gradient that was never other than zero is divided by its root' }),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), { name: 'expAvgSq', meaning: { of: `${meanings.meanOfSquare} + eps` } }],

  update({ param, grad, slots, hyper, uses, step }) {
    const { beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses });
    const expAvg = movingAverage(slots.expAvg, g, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2).add(eps);
    const rate = correctedRate(hyper, step);
    return { param: param.sub(expAvg.div(expAvgSq.sqrt()).mul(rate)), slots: { expAvg, expAvgSq } };
  },
});
