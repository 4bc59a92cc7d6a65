import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  definePhasedOptimizer,
  flag,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  oneMinus,
  positive,
  sum,
  where,
  type Scalar,
  type Tensor,
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
    { name: 'expAvg', meaning: { of: `${meanOfGradient().meaning.of} in units of d`, decay: 'beta1' } },
    meanOfSquare(),
    { name: 's', meaning: { of: "D-Adaptation's s" } },
  ],
  globals: () => [{ name: 'd', start: 'initial.d0' }, { name: 'dBefore', start: 'initial.d0' }, 'numerator', 'length'],

  measure({ param, grad, slots, globals: { d }, hyper, uses, step }) {
    const { beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay && !uses.decouple } });
    const gamma = d.mul(rate(hyper, uses, step));
    const progress = sum(g.mul(slots.s.div(slots.expAvgSq.sqrt().add(eps)))).mul(gamma);
    const s = movingAverage(slots.s, g.mul(gamma), beta2.sqrt());
    return {
      sums: { progress, length: sum(s.abs()) },
      slots: {
        s,
        expAvg: movingAverage(slots.expAvg, g.mul(gamma), beta1),
        expAvgSq: movingAverage(slots.expAvgSq, g.square(), beta2),
      },
    };
  },

  total({ sums, globals: { d, numerator }, hyper: { lr, beta2, growthRate }, uses }) {
    const rest = oneMinus(beta2.sqrt());
    const found = movingAverage(numerator, sums.progress, beta2.sqrt());
    const estimate = found.div(sums.length.mul(rest));
    const next = d.max(uses.growthRate ? estimate.min(d.mul(growthRate)) : estimate);
    const still = sums.length.equal(0);
    const keep = (kept: Tensor, moved: Tensor): Tensor => where(still, kept, moved);
    return {
      d: keep(d, where(lr.equal(0), d, next)),
      dBefore: d,
      numerator: keep(numerator, found),
      length: sums.length,
    };
  },

  update({ param, slots, globals: { dBefore, length }, hyper, uses, step }) {
    const gamma = dBefore.mul(rate(hyper, uses, step));
    const decayed = uses.weightDecay && uses.decouple ? param.sub(param.mul(gamma.mul(hyper.weightDecay))) : param;
    const moved = decayed.sub(slots.expAvg.div(slots.expAvgSq.sqrt().add(hyper.eps)));
    return { param: where(length.equal(0), param, moved) };
  },
});

interface Rates {
  readonly lr: Scalar;
  readonly beta1: Scalar;
  readonly beta2: Scalar;
}

/** γ/d. */
function rate({ lr, beta1, beta2 }: Rates, uses: { readonly useBiasCorrection: boolean }, step: Scalar): Scalar {
  return uses.useBiasCorrection ? lr.mul(biasCorrection(beta2, step).sqrt()).div(biasCorrection(beta1, step)) : lr;
}
