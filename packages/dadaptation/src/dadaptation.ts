import {
  coefficient,
  correctedRate,
  decay,
  decayRate,
  definePhasedOptimizer,
  distance,
  distanceAfter,
  flag,
  learningRate,
  meanOfSquare,
  movingAverage,
  oneMinus,
  positive,
  sum,
  where,
} from '@adakit/core';

/**
 * D-Adapt Adam: Adam whose rate is estimated from a bound of the distance to the solution (Defazio & Mishchenko 2023,
 * algorithm 5; options as in the authors' code). Leave `lr` at 1, or put a schedule on it.
 *
 * ```text
 * γ = dη, with useBiasCorrection dη√c₂/c₁
 * n ← √β₂n + (1 − √β₂) γ Σ⟨g, s/(√v + ε)⟩          with s and v before the step
 * m ← β₁m + (1 − β₁)γg          v ← β₂v + (1 − β₂)g²          s ← √β₂s + (1 − √β₂)γg
 * d ← max(d, min(n / ((1 − √β₂) Σ‖s‖₁), d · growthRate))
 * θ ← θ(1 − γλ) − m/(√v + ε)          with γ before d was changed
 * ```
 *
 * Nothing moves while all gradients have been zero. `d` is reported.
 *
 * Defaults: `lr` 1, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0, `decouple` false, `d0` 1e-6, `growthRate` 0
 * (stands for no limit), `useBiasCorrection` false.
 */
export const dadaptation = definePhasedOptimizer({
  name: 'dadaptation',
  hyperparameters: {
    lr: learningRate(1),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: positive(1e-8, { because: 'at the first step nothing else is in the denominator' }),
    weightDecay: coefficient(0),
    decouple: flag(false),
    d0: positive(1e-6),
    growthRate: coefficient(0),
    useBiasCorrection: flag(false),
  },
  slots: () => [
    { name: 'expAvg', meaning: { of: 'mean(grad) in units of dη', decay: 'beta1' } },
    meanOfSquare(),
    { name: 's', meaning: { of: "D-Adaptation's s" } },
  ],
  globals: () => [...distance, 'numerator', 'length'],

  measure({ param, grad, slots, globals: { d }, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses: { ...uses, weightDecouple: uses.decouple } });
    const gamma = d.mul(uses.useBiasCorrection ? correctedRate(hyper, step) : lr);
    const progress = sum(g.mul(slots.s.div(slots.expAvgSq.sqrt().add(eps)))).mul(gamma);
    const s = movingAverage(slots.s, g.mul(gamma), beta2.sqrt());
    const expAvg = movingAverage(slots.expAvg, g.mul(gamma), beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2);
    return { sums: { progress, length: sum(s.abs()) }, slots: { s, expAvg, expAvgSq } };
  },

  total({ sums: { progress, length }, globals: { d, numerator }, hyper: { lr, beta2, growthRate }, uses }) {
    const n = movingAverage(numerator, progress, beta2.sqrt());
    const estimate = n.div(length.mul(oneMinus(beta2.sqrt())));
    const next = d.max(uses.growthRate ? estimate.min(d.mul(growthRate)) : estimate);
    const found = { lr, numerator: { before: numerator, found: n }, denominator: length };
    return { ...distanceAfter({ d }, { d: next }, found), length };
  },

  update({ param, slots, globals: { dBefore, length }, hyper, uses, step }) {
    const gamma = dBefore.mul(uses.useBiasCorrection ? correctedRate(hyper, step) : hyper.lr);
    // γ is the device's, which would round 1 − γλ.
    const theta = uses.weightDecay && uses.decouple ? param.sub(param.mul(gamma.mul(hyper.weightDecay))) : param;
    const moved = theta.sub(slots.expAvg.div(slots.expAvgSq.sqrt().add(hyper.eps)));
    return { param: where(length.equal(0), param, moved) };
  },
});
