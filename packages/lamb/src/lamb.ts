import {
  biasCorrection,
  coefficient,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  trustRatio,
} from '@adakit/core';

/**
 * LAMB (You et al. 2020, algorithm 2): Adam's update of every parameter, rescaled to the length of the parameter, for
 * training with large batches.
 *
 * ```text
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * u = (m/c₁) / (√(v/c₂) + ε) + λθ          cᵢ = 1 − βᵢᵗ
 * θ ← θ − η · (‖θ‖/‖u‖) · u          the ratio is 1 where a norm is 0
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-6, `epsRoot` 0 (added to v/c₂ under the root, as optax has
 * it), `weightDecay` 0.
 */
export const lamb = defineOptimizer({
  name: 'lamb',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-6),
    epsRoot: coefficient(0),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps, epsRoot, weightDecay } = hyper;
    const m = movingAverage(slots.expAvg, grad, beta1);
    const v = movingAverage(slots.expAvgSq, grad.square(), beta2);

    const corrected = v.div(biasCorrection(beta2, step));
    const denominator = (uses.epsRoot ? corrected.add(epsRoot) : corrected).sqrt().add(eps);
    const adaptive = m.div(biasCorrection(beta1, step)).div(denominator);
    const update = uses.weightDecay ? adaptive.add(param.mul(weightDecay)) : adaptive;
    return {
      param: param.sub(update.mul(trustRatio(param, update)).mul(lr)),
      slots: { expAvg: m, expAvgSq: v },
    };
  },
});
