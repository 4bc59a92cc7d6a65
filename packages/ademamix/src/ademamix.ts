import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  nonNegative,
} from '@adakit/core';

/**
 * AdEMAMix: Adam with a second, slow average of gradients (Pagliardini et al. 2024, algorithm 1, without its schedules).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g          s ← β₃s + (1 − β₃)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − η(m/(1 − β₁ᵗ) + αs) / (√(v/(1 − β₂ᵗ)) + ε)
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `beta3` 0.9999, `alpha` 5, `eps` 1e-8, `weightDecay` 0 (decoupled). The
 * authors warm α up: give it a schedule.
 */
export const ademamix = defineOptimizer({
  name: 'ademamix',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    beta3: decayRate(0.9999),
    alpha: nonNegative(5),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare(), { ...meanOfGradient('beta3'), name: 'expAvgSlow' }],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, beta3, alpha, eps } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const expAvgSlow = movingAverage(slots.expAvgSlow, grad, beta3);
    const root = expAvgSq.div(biasCorrection(beta2, step)).sqrt().add(eps);
    const update = expAvg.div(biasCorrection(beta1, step)).add(expAvgSlow.mul(alpha)).div(root);
    return { param: theta.sub(update.mul(lr)), slots: { expAvg, expAvgSq, expAvgSlow } };
  },
});
