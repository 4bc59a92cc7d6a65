import {
  coefficient,
  correctedRate,
  decay,
  decayRate,
  definePhasedOptimizer,
  distance,
  distanceAfter,
  epsilon,
  flag,
  learningRate,
  oneMinus,
  positive,
  sum,
  where,
} from '@adakit/core';

/**
 * Prodigy (Mishchenko & Defazio 2024, algorithm 4; options as prodigyopt): Adam whose step size d is estimated from how far
 * the parameters have come, for all parameters together. Leave `lr` at 1, or put a schedule on it.
 *
 * ```text
 * γ = d·η·√c₂/c₁ with useBiasCorrection, otherwise d·η
 * m ← β₁m + d(1 − β₁)g          v ← β₂v + d²(1 − β₂)g²
 * s ← β₃s + (d/d₀)γg            with safeguardWarmup: (d/d₀)d·g
 * n ← β₃n + Σ (d/d₀)γ⟨g, θ₀ − θ⟩          d̂ = dCoef · n / Σ‖s‖₁
 * d ← min(max d̂, d · growthRate), and at least d̂ as long as d = d₀
 * θ ← θ − γλθ − γ · m / (√v + d·ε)
 * ```
 *
 * Nothing moves while all gradients have been zero. `d` is reported.
 *
 * Defaults: `lr` 1, `beta1` 0.9, `beta2` 0.999, `beta3` 0 (stands for √β₂), `eps` 1e-8, `weightDecay` 0, `decouple` true, `d0`
 * 1e-6, `dCoef` 1, `growthRate` 0 (stands for no limit), `useBiasCorrection` false, `safeguardWarmup` false.
 */
export const prodigy = definePhasedOptimizer({
  name: 'prodigy',
  hyperparameters: {
    lr: learningRate(1),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    beta3: coefficient(0),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    decouple: flag(true),
    d0: positive(1e-6),
    dCoef: positive(1),
    growthRate: coefficient(0),
    useBiasCorrection: flag(false),
    safeguardWarmup: flag(false),
  },
  slots: () => [
    // In units of d, so that they are no other optimizer's moments.
    { name: 'expAvg', meaning: { of: 'mean(grad) in units of d', decay: 'beta1' } },
    { name: 'expAvgSq', meaning: { of: 'mean(grad^2) in units of d', decay: 'beta2' } },
    { name: 's', meaning: { of: "Prodigy's s" } },
    { name: 'p0', start: 'param', meaning: { of: 'start(param)' } },
  ],
  globals: () => [...distance, { name: 'dMax', start: 'initial.d0' }, 'numerator', 'denominator'],

  measure({ param, grad, slots, globals: { d }, hyper, uses, step }) {
    const { lr, beta1, beta2, d0 } = hyper;
    const beta3 = uses.beta3 ? hyper.beta3 : beta2.sqrt();
    const { g } = decay({ param, grad, hyper, uses: { ...uses, weightDecouple: uses.decouple } });
    const gamma = d.mul(uses.useBiasCorrection ? correctedRate(hyper, step) : lr);
    const relative = d.div(d0);
    const expAvg = slots.expAvg.mul(beta1).add(g.mul(d.mul(oneMinus(beta1))));
    const expAvgSq = slots.expAvgSq.mul(beta2).add(g.square().mul(d.square().mul(oneMinus(beta2))));
    const s = slots.s.mul(beta3).add(g.mul(relative.mul(uses.safeguardWarmup ? d : gamma)));
    const progress = sum(g.mul(slots.p0.sub(param))).mul(relative.mul(gamma));
    return { sums: { progress, length: sum(s.abs()) }, slots: { s, p0: slots.p0, expAvg, expAvgSq } };
  },

  total({ sums, globals: { d, dMax, numerator }, hyper, uses }) {
    const { lr, beta2, dCoef, d0, growthRate } = hyper;
    const beta3 = uses.beta3 ? hyper.beta3 : beta2.sqrt();
    const n = numerator.mul(beta3).add(sums.progress);
    const estimate = n.mul(dCoef).div(sums.length);
    const started = where(d.equal(d0), d.max(estimate), d);
    const most = dMax.max(estimate);
    const next = uses.growthRate ? most.min(started.mul(growthRate)) : most;
    const found = { lr, numerator: { before: numerator, found: n }, denominator: sums.length };
    return { ...distanceAfter({ d, dMax }, { d: next, dMax: most }, found), denominator: sums.length };
  },

  update({ param, slots, globals: { d, dBefore, denominator }, hyper, uses, step }) {
    const gamma = dBefore.mul(uses.useBiasCorrection ? correctedRate(hyper, step) : hyper.lr);
    // γ is the device's, which would round 1 − γλ.
    const theta = uses.weightDecay && uses.decouple ? param.sub(param.mul(gamma.mul(hyper.weightDecay))) : param;
    const moved = theta.sub(slots.expAvg.mul(gamma).div(slots.expAvgSq.sqrt().add(d.mul(hyper.eps))));
    return { param: where(denominator.equal(0), param, moved) };
  },
});
