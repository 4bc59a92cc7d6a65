import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  meanOfGradient,
  movingAverage,
  positive,
} from '@adakit/core';

/**
 * AdaMax: Adam by the infinity norm (Kingma & Ba 2015, algorithm 2; options as torch.optim.Adamax).
 *
 * ```text
 * g ← g + λθ
 * m ← β₁m + (1 − β₁)g
 * u ← max(β₂u, |g| + ε)
 * θ ← θ − η/(1 − β₁ᵗ) · m/u
 * ```
 *
 * Defaults: `lr` 2e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0 (coupled).
 */
export const adamax = defineOptimizer({
  name: 'adamax',
  hyperparameters: {
    lr: learningRate(2e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: positive(1e-8, { because: 'a gradient that was never other than zero is divided by it' }),
    weightDecay: coefficient(0),
  },
  slots: () => [meanOfGradient(), { name: 'expInf', meaning: { of: 'max(decaying |grad|)' } }],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay } });
    const expAvg = movingAverage(slots.expAvg, g, beta1);
    const expInf = slots.expInf.mul(beta2).max(g.abs().add(eps));
    const rate = lr.div(biasCorrection(beta1, step));
    return { param: param.sub(expAvg.div(expInf).mul(rate)), slots: { expAvg, expInf } };
  },
});
