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
  nonNegative,
  positive,
} from '@adakit/core';

/**
 * Padam: Adam with a power between SGD and Adam (Chen et al. 2018, algorithm 1, without its maximum).
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − η√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)²ᵖ
 * ```
 *
 * Defaults: `lr` 0.1, `beta1` 0.9, `beta2` 0.999, `partial` p 0.25 (0.5 is Adam, 0 SGD), `eps` 1e-8, `weightDecay` 0
 * (decoupled).
 */
export const padam = defineOptimizer({
  name: 'padam',
  hyperparameters: {
    lr: learningRate(0.1),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    partial: nonNegative(0.25),
    eps: positive(1e-8, { because: 'a gradient that was never other than zero is divided by its power' }),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper, uses, step }) {
    const { beta1, beta2, partial, eps } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const rate = correctedRate(hyper, step);
    const root = expAvgSq.sqrt().add(eps).pow(partial.mul(2));
    return { param: theta.sub(expAvg.div(root).mul(rate)), slots: { expAvg, expAvgSq } };
  },
});
