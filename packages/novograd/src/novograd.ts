import {
  coefficient,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  movingAverage,
  oneMinus,
  sum,
  where,
} from '@adakit/core';

/**
 * NovoGrad: one second moment a tensor, and a gradient of length one in the momentum (Ginsburg et al. 2019, algorithm 1;
 * options as in the authors' code).
 *
 * ```text
 * v ← β₂v + (1 − β₂)‖g‖²          at the first step v ← ‖g‖²
 * m ← β₁m + (g/(√v + ε) + λθ)          with gradAveraging times 1 − β₁, but for the first step
 * θ ← θ − ηm
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.95, `beta2` 0.98, `eps` 1e-8, `weightDecay` 0, `gradAveraging` false.
 */
export const novograd = defineOptimizer({
  name: 'novograd',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.95),
    beta2: decayRate(0.98),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    gradAveraging: flag(false),
  },
  slots: ({ gradAveraging }) => [
    { name: 'expAvg', meaning: { of: `${gradAveraging ? 'mean' : 'sum'}(grad/rms(grad))` } },
    { name: 'expAvgSq', shape: 'number', meaning: { of: 'mean(norm(grad)^2)' } },
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps, weightDecay } = hyper;
    const first = step.equal(1);
    const square = sum(grad.square());
    const expAvgSq = where(first, square, movingAverage(slots.expAvgSq, square, beta2));
    const normal = grad.div(expAvgSq.sqrt().add(eps));
    const decayed = uses.weightDecay ? normal.add(param.mul(weightDecay)) : normal;
    const share = uses.gradAveraging ? decayed.mul(where(first, 1, oneMinus(beta1))) : decayed;
    const expAvg = slots.expAvg.mul(beta1).add(share);
    return { param: param.sub(expAvg.mul(lr)), slots: { expAvg, expAvgSq } };
  },
});
