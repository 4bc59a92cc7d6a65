import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  largestMeanOfSquare,
  learningRate,
  meanings,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  oneMinus,
} from '@adakit/core';

/**
 * AdaDiff (Huang et al. 2021): Adam whose second moment also averages the squared change of the gradient, so that the
 * step shrinks where the gradient is large or unsteady.
 *
 * ```text
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * v ← β₂v + (1 − β₂)g² + (1 − β₂)(g − p)² + ε          p: the gradient of the step before
 * θ ← θ − η(√c₂/c₁) · m/√v          cᵢ = 1 − βᵢᵗ
 * p ← g
 * ```
 *
 * ε is stored in v and so accumulates to a floor of ε/(1 − β₂); there is no other. With `amsgrad`, as in the authors'
 * code, it is stored in the maximum instead: V ← max(V, v) + ε with v free of ε, and √V divides.
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0 (coupled). The paper uses
 * `weightDecay` 5e-4 on CIFAR, and `lr` 1e-2, `eps` 1e-16, `weightDecay` 1.2e-6 for LSTMs on Penn Treebank.
 */
export const adadiff = defineOptimizer({
  name: 'adadiff',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    amsgrad: flag(false),
  },
  slots: ({ amsgrad }) => [
    meanOfGradient(),
    meanOfSquare(),
    // Starting at zero adds the next gradient to one difference, as at the start of any run.
    { name: 'prevGrad', meaning: { of: meanings.previousGradient, joinsLate: true } },
    ...(amsgrad ? [largestMeanOfSquare()] : []),
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses });
    const difference = g.sub(slots.prevGrad);

    const m = movingAverage(slots.expAvg, g, beta1);
    const v = movingAverage(slots.expAvgSq, g.square(), beta2).add(difference.square().mul(oneMinus(beta2)));
    const floored = (uses.amsgrad ? slots.maxExpAvgSq.max(v) : v).add(eps);

    const c1 = biasCorrection(beta1, step);
    const c2 = biasCorrection(beta2, step);
    const stepSize = lr.mul(c2.sqrt()).div(c1);
    return {
      param: param.sub(m.mul(stepSize).div(floored.sqrt())),
      slots: {
        expAvg: m,
        prevGrad: g,
        ...(uses.amsgrad ? { expAvgSq: v, maxExpAvgSq: floored } : { expAvgSq: floored }),
      },
    };
  },
});
