import {
  coefficient,
  correctedRate,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanings,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  scalar,
} from '@adakit/core';

/**
 * diffGrad: Adam, slower where the gradient hardly changes (Dubey et al. 2020, eqs. 5 to 7; options and places of ε as in
 * the authors' code).
 *
 * ```text
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * ξ = 1 / (1 + exp(−|p − g|))          p ← g
 * θ ← θ − η√(1 − β₂ᵗ)/(1 − β₁ᵗ) · ξm / (√v + ε)
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0 (coupled).
 */
export const diffgrad = defineOptimizer({
  name: 'diffgrad',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare(), { name: 'prevGrad', meaning: { of: meanings.previousGradient } }],

  update({ param, grad, slots, hyper, uses, step }) {
    const { beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses });
    const expAvg = movingAverage(slots.expAvg, g, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2);
    const friction = scalar(1).div(slots.prevGrad.sub(g).abs().neg().exp().add(1));
    const rate = correctedRate(hyper, step);
    const update = expAvg.mul(friction).div(expAvgSq.sqrt().add(eps));
    return { param: param.sub(update.mul(rate)), slots: { expAvg, expAvgSq, prevGrad: g } };
  },
});
