import {
  biasCorrection,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
} from '@adakit/core';

/**
 * FTRL-Proximal: weights from the sum of all gradients, exactly zero where that is small (authors, year, algorithm; options as in …).
 *
 * ```text
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − η · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8.
 */
export const ftrl = defineOptimizer({
  name: 'ftrl',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const root = expAvgSq.div(biasCorrection(beta2, step)).sqrt().add(eps);
    const update = expAvg.div(biasCorrection(beta1, step)).div(root);
    return { param: param.sub(update.mul(lr)), slots: { expAvg, expAvgSq } };
  },
});
