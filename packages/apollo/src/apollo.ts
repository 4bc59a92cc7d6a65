import {
  biasCorrection,
  coefficient,
  decayRate,
  defineOptimizer,
  flag,
  learningRate,
  meanings,
  oneMinus,
  positive,
  sum,
} from '@adakit/core';

/**
 * Apollo: a quasi-Newton step with a diagonal Hessian that follows from gradients (Ma 2020, algorithm 1; ε as in the
 * authors' code). Warm `lr` up with a schedule.
 *
 * ```text
 * g ← g + λθ          with weightDecouple λθ is added to d instead
 * α = (1 − β)/(1 − βᵗ)          δ = g − m          m ← m + αδ
 * d ← d/n, n = ‖d‖₄ + ε/σ          d is the direction before
 * B ← B − (α ⟨δ/n, d⟩ + Σ B d²) d²
 * d ← m / max(|B|, σ)
 * θ ← θ − ηd
 * ```
 *
 * Defaults: `lr` 0.01, `beta` 0.9, `eps` 1e-4, `sigma` σ 0.01, `weightDecay` 0, `weightDecouple` false.
 */
export const apollo = defineOptimizer({
  name: 'apollo',
  hyperparameters: {
    lr: learningRate(0.01),
    beta: decayRate(0.9),
    eps: positive(1e-4, { because: 'the first direction, zero, is divided by it' }),
    sigma: positive(0.01, { because: 'directions are divided by it where the Hessian is zero' }),
    weightDecay: coefficient(0),
    weightDecouple: flag(false),
  },
  slots: () => [
    { name: 'expAvg', meaning: { of: `corrected ${meanings.meanOfGradient}` } },
    { name: 'hessian', meaning: { of: 'diagonal of the Hessian by Apollo' } },
    { name: 'direction', meaning: { of: 'the last direction' } },
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta, eps, sigma, weightDecay } = hyper;
    const g = uses.weightDecay && !uses.weightDecouple ? grad.add(param.mul(weightDecay)) : grad;
    const alpha = oneMinus(beta).div(biasCorrection(beta, step));
    const change = g.sub(slots.expAvg);
    const expAvg = slots.expAvg.add(change.mul(alpha));
    const length = sum(slots.direction.square().square()).sqrt().sqrt().add(eps.div(sigma));
    const before = slots.direction.div(length);
    const squares = before.square();
    const curvature = sum(change.div(length).mul(before))
      .mul(alpha)
      .add(sum(slots.hessian.mul(squares)));
    const hessian = slots.hessian.sub(squares.mul(curvature));
    const newton = expAvg.div(hessian.abs().max(sigma));
    const direction = uses.weightDecay && uses.weightDecouple ? newton.add(param.mul(weightDecay)) : newton;
    return { param: param.sub(direction.mul(lr)), slots: { expAvg, hessian, direction } };
  },
});
