import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  largestMeanOfDeviation,
  learningRate,
  meanOfDeviation,
  meanOfGradient,
  movingAverage,
  oneMinus,
  rectification,
  where,
} from '@adakit/core';

/**
 * AdaBelief (Zhuang et al. 2020, algorithm 2; options and order of operations as in adabelief-pytorch 0.2.1): the step
 * is large where the gradient is as expected and small where it deviates.
 *
 * ```text
 * m ← β₁m + (1 − β₁)g
 * s ← β₂s + (1 − β₂)(g − m)² + ε
 * θ ← θ − (η/c₁) · m / (√s/√c₂ + ε)          cᵢ = 1 − βᵢᵗ
 * ```
 *
 * - `weightDecay` λ: with `weightDecouple` θ ← θ(1 − ηλ) first, and θ ← θ(1 − λ) with `fixedDecay`; otherwise g ← g + λθ.
 * - `rectify`: RAdam's variance rectification (Liu et al. 2020). While it is undefined (ρ < 5: the first five steps for
 *   β₂ = 0.999) the step is θ ← θ − (η/c₁)m with `degeneratedToSgd`, none without.
 * - `amsgrad`: S ← max(S, s) divides instead of s, in unrectified steps only.
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-16, `weightDecay` 0, `weightDecouple` true, `fixedDecay`
 * false, `rectify` true, `degeneratedToSgd` true, `amsgrad` false.
 */
export const adabelief = defineOptimizer({
  name: 'adabelief',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9, { because: 'at 0 the mean equals the gradient and the step explodes' }),
    beta2: decayRate(0.999),
    eps: epsilon(1e-16),
    weightDecay: coefficient(0),
    weightDecouple: flag(true),
    fixedDecay: flag(false),
    rectify: flag(true),
    degeneratedToSgd: flag(true),
    amsgrad: flag(false),
  },
  slots: ({ amsgrad }) => [meanOfGradient(), meanOfDeviation(), ...(amsgrad ? [largestMeanOfDeviation()] : [])],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps, weightDecay } = hyper;
    const fixed = uses.weightDecay && uses.weightDecouple && uses.fixedDecay;
    const { theta, g } = fixed
      ? { theta: param.mul(oneMinus(weightDecay)), g: grad }
      : decay({ param, grad, hyper, uses });

    const m = movingAverage(slots.expAvg, g, beta1);
    const s = movingAverage(slots.expAvgVar, g.sub(m).square(), beta2).add(eps);
    const sMax = uses.amsgrad ? slots.maxExpAvgVar.max(s) : undefined;

    const c1 = biasCorrection(beta1, step);
    const c2 = biasCorrection(beta2, step);
    const newSlots = { expAvg: m, expAvgVar: s, ...(sMax && { maxExpAvgVar: sMax }) };
    if (!uses.rectify) {
      const denominator = (sMax ?? s).sqrt().div(c2.sqrt()).add(eps);
      return { param: theta.sub(m.mul(lr.div(c1)).div(denominator)), slots: newSlots };
    }

    const { defined, factor } = rectification(beta2, step);
    const rectified = theta.sub(m.mul(lr.mul(factor).mul(c2.sqrt()).div(c1)).div(s.sqrt().add(eps)));
    const degenerate = uses.degeneratedToSgd ? theta.sub(m.mul(lr.div(c1))) : theta;
    return { param: where(defined, rectified, degenerate), slots: newSlots };
  },
});
