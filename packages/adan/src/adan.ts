import {
  biasCorrection,
  coefficient,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanings,
  meanOfGradient,
  movingAverage,
  where,
} from '@adakit/core';

/**
 * Adan: Nesterov momentum by differences of gradients (Xie et al. 2022, algorithm 1; options as the authors’ code).
 *
 * ```text
 * δ = g − gₜ₋₁, 0 at the first step
 * m ← β₁m + (1 − β₁)g          d ← β₂d + (1 − β₂)δ          n ← β₃n + (1 − β₃)(g + β₂δ)²
 * D = √(n/(1 − β₃ᵗ)) + ε
 * θ ← [θ − η(m/(1 − β₁ᵗ) + β₂ · d/(1 − β₂ᵗ)) / D] / (1 + ηλ)
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.98, `beta2` 0.92, `beta3` 0.99 (factors of what is kept, unlike the paper’s), `eps` 1e-8,
 * `weightDecay` 0 (proximal).
 */
export const adan = defineOptimizer({
  name: 'adan',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.98),
    beta2: decayRate(0.92),
    beta3: decayRate(0.99),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
  },
  slots: () => [
    meanOfGradient(),
    { name: 'expAvgDiff', meaning: { of: 'mean(grad - previous(grad))', decay: 'beta2' } },
    { name: 'expAvgSq', meaning: { of: 'mean(nesterov(grad)^2)', decay: 'beta3' } },
    { name: 'prevGrad', meaning: { of: meanings.previousGradient } },
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, beta3, eps, weightDecay } = hyper;
    const change = where(step.equal(1), 0, grad.sub(slots.prevGrad));
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgDiff = movingAverage(slots.expAvgDiff, change, beta2);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.add(change.mul(beta2)).square(), beta3);
    const root = expAvgSq.div(biasCorrection(beta3, step)).sqrt().add(eps);
    const ahead = expAvgDiff.mul(beta2.div(biasCorrection(beta2, step)));
    const moved = param.sub(expAvg.div(biasCorrection(beta1, step)).add(ahead).div(root).mul(lr));
    return {
      param: uses.weightDecay ? moved.div(lr.mul(weightDecay).add(1)) : moved,
      slots: { expAvg, expAvgDiff, expAvgSq, prevGrad: grad },
    };
  },
});
