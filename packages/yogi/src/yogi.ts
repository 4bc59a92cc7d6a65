import {
  biasCorrection,
  coefficient,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  movingAverage,
  oneMinus,
  where,
} from '@adakit/core';

/**
 * Yogi: a second moment that grows slowly (Zaheer et al. 2018, algorithm 2; options as optax.yogi).
 *
 * ```text
 * m ← β₁m + (1 − β₁)g
 * v ← v − (1 − β₂) · sign(v − g²) · g²          both start at `initialAccumulatorValue`
 * θ ← θ − η · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
 * ```
 *
 * Defaults: `lr` 1e-2, `beta1` 0.9, `beta2` 0.999, `eps` 1e-3, `initialAccumulatorValue` 1e-6.
 */
export const yogi = defineOptimizer({
  name: 'yogi',
  hyperparameters: {
    lr: learningRate(1e-2),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-3),
    initialAccumulatorValue: coefficient(1e-6),
  },
  // Not the averages of Adam: they start elsewhere, and the second forgets by differences.
  slots: () => [
    { name: 'expAvg', meaning: { of: 'mean(grad) from a start' } },
    { name: 'expAvgSq', meaning: { of: 'yogi(grad^2)' } },
  ],

  update({ param, grad, slots, hyper, initial, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const start = (slot: typeof param) =>
      uses.initialAccumulatorValue ? where(step.equal(1), initial.initialAccumulatorValue, slot) : slot;
    const [mean, square] = [start(slots.expAvg), start(slots.expAvgSq)];
    const squared = grad.square();
    const expAvg = movingAverage(mean, grad, beta1);
    const expAvgSq = square.sub(square.sub(squared).sign().mul(squared).mul(oneMinus(beta2)));
    const root = expAvgSq.div(biasCorrection(beta2, step)).sqrt().add(eps);
    const update = expAvg.div(biasCorrection(beta1, step)).div(root);
    return { param: param.sub(update.mul(lr)), slots: { expAvg, expAvgSq } };
  },
});
