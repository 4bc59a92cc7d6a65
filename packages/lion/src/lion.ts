import {
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  meanOfGradient,
  movingAverage,
} from '@adakit/core';

/**
 * Lion (Chen et al. 2023, algorithm 2): every element moves by the learning rate, in the direction that an interpolation of
 * momentum and gradient points to.
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * θ ← θ − η · sign(β₁m + (1 − β₁)g)
 * m ← β₂m + (1 − β₂)g
 * ```
 *
 * Defaults: `lr` 1e-4, `beta1` 0.9, `beta2` 0.99, `weightDecay` 0 (decoupled). The authors use a learning rate 3–10 times
 * smaller and a decay 3–10 times larger than for AdamW.
 */
export const lion = defineOptimizer({
  name: 'lion',
  hyperparameters: {
    lr: learningRate(1e-4),
    beta1: decayRate(0.9),
    beta2: decayRate(0.99),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient('beta2')],

  update({ param, grad, slots, hyper, uses }) {
    const { lr, beta1, beta2 } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const direction = movingAverage(slots.expAvg, grad, beta1).sign();
    return { param: theta.sub(direction.mul(lr)), slots: { expAvg: movingAverage(slots.expAvg, grad, beta2) } };
  },
});
