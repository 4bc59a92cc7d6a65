import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  fraction,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  oneMinus,
} from '@adakit/core';

/**
 * QHAdam: Adam with quasi-hyperbolic averages (Ma & Yarats 2019, §4; options as the authors’ package).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − η[(1 − ν₁)g + ν₁ · m/(1 − β₁ᵗ)] / (√[(1 − ν₂)g² + ν₂ · v/(1 − β₂ᵗ)] + ε)
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `nu1` 1, `nu2` 1 (Adam; the authors recommend `beta1` 0.995 and `nu1` 0.7),
 * `eps` 1e-8, `weightDecay` 0 (decoupled).
 */
export const qhadam = defineOptimizer({
  name: 'qhadam',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    nu1: fraction(1),
    nu2: fraction(1),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, nu1, nu2, eps } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const mean = grad.mul(oneMinus(nu1)).add(expAvg.mul(nu1.div(biasCorrection(beta1, step))));
    const square = grad
      .square()
      .mul(oneMinus(nu2))
      .add(expAvgSq.mul(nu2.div(biasCorrection(beta2, step))));
    return { param: theta.sub(mean.div(square.sqrt().add(eps)).mul(lr)), slots: { expAvg, expAvgSq } };
  },
});
