import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  rectification,
  where,
} from '@adakit/core';

/**
 * RAdam: Adam that waits until its variance is known (Liu et al. 2020, algorithm 2; options as torch.optim.RAdam).
 *
 * ```text
 * g ← g + λθ, or θ ← θ(1 − ηλ) with weightDecouple
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * ρ∞ = 2/(1 − β₂) − 1          ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ)
 * θ ← θ − η/(1 − β₁ᵗ) · m · R√(1 − β₂ᵗ)/(√v + ε) where ρ ≥ 5, otherwise θ ← θ − η/(1 − β₁ᵗ) · m
 * R = √[(ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)]
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0, `weightDecouple` false.
 */
export const radam = defineOptimizer({
  name: 'radam',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    weightDecouple: flag(false),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const { theta, g } = decay({ param, grad, hyper, uses });
    const expAvg = movingAverage(slots.expAvg, g, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2);
    const { defined, factor } = rectification(beta2, step);
    const adaptive = expAvgSq.sqrt().add(eps);
    const corrected = factor.mul(biasCorrection(beta2, step).sqrt());
    const update = expAvg.mul(lr.div(biasCorrection(beta1, step)));
    return {
      param: theta.sub(where(defined, update.mul(corrected).div(adaptive), update)),
      slots: { expAvg, expAvgSq },
    };
  },
});
