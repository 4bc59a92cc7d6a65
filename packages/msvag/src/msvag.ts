import {
  biasCorrection,
  decayRate,
  defineOptimizer,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  oneMinus,
  scalar,
  where,
} from '@adakit/core';

/**
 * M-SVAG: momentum, shortened where the gradient is noisy (Balles & Hennig 2018, algorithm 1).
 *
 * ```text
 * m ← βm + (1 − β)g          v ← βv + (1 − β)g²          m̂ = m/(1 − βᵗ), v̂ = v/(1 − βᵗ)
 * ρ = (1 − β)(1 + βᵗ) / ((1 + β)(1 − βᵗ))          s = max(v̂ − m̂², 0) / (1 − ρ)
 * θ ← θ − η · m̂²/(m̂² + ρs) · m̂          0 where m̂ is, and at the first step, when nothing is known of a variance
 * ```
 *
 * Defaults: `lr` 0.1, `beta` 0.9.
 */
export const msvag = defineOptimizer({
  name: 'msvag',
  hyperparameters: { lr: learningRate(0.1), beta: decayRate(0.9) },
  slots: () => [meanOfGradient('beta'), meanOfSquare('beta')],

  update({ param, grad, slots, hyper: { lr, beta }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta);
    const correction = biasCorrection(beta, step);
    const mean = expAvg.div(correction);
    const rho = oneMinus(beta).mul(beta.pow(step).add(1)).div(beta.add(1).mul(correction));
    // ρ is 1 at the first step; any other divisor serves there.
    const first = step.equal(1);
    const variance = expAvgSq
      .div(correction)
      .sub(mean.square())
      .max(0)
      .div(where(first, scalar(1), oneMinus(rho)));
    const total = mean.square().add(variance.mul(rho));
    const factor = where(total.greater(0), mean.square().div(total), 0);
    const update = where(first, scalar(0), lr);
    return { param: param.sub(mean.mul(factor).mul(update)), slots: { expAvg, expAvgSq } };
  },
});
