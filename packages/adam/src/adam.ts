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
  meanOfGradient,
  meanOfSquare,
  movingAverage,
} from '@adakit/core';

/**
 * Adam (Kingma & Ba 2015, algorithm 1), with PyTorch's ε outside the bias-corrected root.
 *
 * ```text
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − (η/c₁) · m / (√v/√c₂ + ε)          cᵢ = 1 − βᵢᵗ
 * ```
 *
 * - `weightDecay` λ: coupled, g ← g + λθ; with `weightDecouple` θ ← θ(1 − ηλ) first (AdamW, Loshchilov & Hutter 2019).
 * - `amsgrad`: V ← max(V, v) replaces v in the step (Reddi et al. 2018), on the uncorrected v as in PyTorch.
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0.
 */
export const adam = defineOptimizer({
  name: 'adam',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    weightDecouple: flag(false),
    amsgrad: flag(false),
  },
  slots: ({ amsgrad }) => [meanOfGradient(), meanOfSquare(), ...(amsgrad ? [largestMeanOfSquare()] : [])],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const { theta, g } = decay({ param, grad, hyper, uses });

    const m = movingAverage(slots.expAvg, g, beta1);
    const v = movingAverage(slots.expAvgSq, g.square(), beta2);
    const vMax = uses.amsgrad ? slots.maxExpAvgSq.max(v) : undefined;

    const c1 = biasCorrection(beta1, step);
    const c2 = biasCorrection(beta2, step);
    const denominator = (vMax ?? v).sqrt().div(c2.sqrt()).add(eps);
    return {
      param: theta.sub(m.mul(lr.div(c1)).div(denominator)),
      slots: { expAvg: m, expAvgSq: v, ...(vMax && { maxExpAvgSq: vMax }) },
    };
  },
});
