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
  oneMinus,
  positive,
  scalar,
} from '@adakit/core';

/**
 * AdaBound (Luo et al. 2019, algorithms 2 and 3): Adam at first, SGD in the end, by bounds on every element's learning
 * rate that close in on `finalLr`.
 *
 * ```text
 * g ← g + λθ          m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * f = finalLr · η/η₀          lower = f(1 − 1/(γt + 1))          upper = f(1 + 1/(γt))
 * θ ← θ − clip(η(√c₂/c₁) / (√v + ε), lower, upper) · m          cᵢ = 1 − βᵢᵗ
 * ```
 *
 * η₀ is the learning rate at construction, so that a schedule on η also scales the bounds; it is part of the state.
 *
 * - `amsbound`: V ← max(V, v) replaces v in the step (AMSBound).
 * - `weightDecouple`: no coupled decay; after the step θ ← θ − λ·(θ before the step), not scaled by η (AdaBoundW).
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `finalLr` 0.1, `gamma` 1e-3, `eps` 1e-8, `weightDecay` 0.
 */
export const adabound = defineOptimizer({
  name: 'adabound',
  hyperparameters: {
    lr: learningRate(1e-3, { because: 'the bounds are scaled by lr over its first value, so 0 divides by zero' }),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    finalLr: positive(0.1),
    gamma: positive(1e-3, { because: 'the upper bound is finalLr * (1 + 1 / (gamma * step)), so 0 divides by zero' }),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    weightDecouple: flag(false),
    amsbound: flag(false),
  },
  slots: ({ amsbound }) => [meanOfGradient(), meanOfSquare(), ...(amsbound ? [largestMeanOfSquare()] : [])],

  update({ param, grad, slots, hyper, initial, uses, step }) {
    const { lr, beta1, beta2, finalLr, gamma, eps, weightDecay } = hyper;
    const decoupled = uses.weightDecay && uses.weightDecouple;
    const { g } = decay({ param, grad, hyper, uses });

    const m = movingAverage(slots.expAvg, g, beta1);
    const v = movingAverage(slots.expAvgSq, g.square(), beta2);
    const vMax = uses.amsbound ? slots.maxExpAvgSq.max(v) : undefined;

    const c1 = biasCorrection(beta1, step);
    const c2 = biasCorrection(beta2, step);
    const limit = finalLr.mul(lr).div(initial.lr);
    const lower = limit.mul(oneMinus(scalar(1).div(gamma.mul(step).add(1))));
    const upper = limit.mul(scalar(1).div(gamma.mul(step)).add(1));
    const stepSize = lr.mul(c2.sqrt()).div(c1);
    const rate = stepSize.div((vMax ?? v).sqrt().add(eps)).clip(lower, upper);
    const stepped = param.sub(m.mul(rate));
    return {
      param: decoupled ? stepped.sub(param.mul(weightDecay)) : stepped,
      slots: { expAvg: m, expAvgSq: v, ...(vMax && { maxExpAvgSq: vMax }) },
    };
  },
});
