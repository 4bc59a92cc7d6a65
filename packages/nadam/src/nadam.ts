import {
  biasCorrection,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  nonNegative,
  oneMinus,
  scalar,
} from '@adakit/core';

/**
 * NAdam: Adam with Nesterov momentum (Dozat 2016; options as torch.optim.NAdam).
 *
 * ```text
 * g ← g + λθ, or θ ← θ(1 − ηλ) with weightDecouple
 * μ = β₁(1 − ½·0.96^(tψ))          μ′ the same for t + 1          Π ← Πμ
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * θ ← θ − η[(1 − μ)/(1 − Π) · g + μ′/(1 − Πμ′) · m] / (√(v/(1 − β₂ᵗ)) + ε)
 * ```
 *
 * Defaults: `lr` 2e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `momentumDecay` ψ 4e-3, `weightDecay` 0, `weightDecouple`
 * false.
 */
export const nadam = defineOptimizer({
  name: 'nadam',
  hyperparameters: {
    lr: learningRate(2e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    momentumDecay: nonNegative(4e-3),
    weightDecay: coefficient(0),
    weightDecouple: flag(false),
  },
  slots: () => [
    meanOfGradient(),
    meanOfSquare(),
    { name: 'muProduct', shape: 'number', start: 1, meaning: { of: 'product(momentum)' } },
  ],

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, eps, momentumDecay } = hyper;
    const { theta, g } = decay({ param, grad, hyper, uses });
    const momentumAt = (t: typeof step) => beta1.mul(oneMinus(scalar(0.96).pow(t.mul(momentumDecay)).mul(0.5)));
    const [mu, next] = [momentumAt(step), momentumAt(step.add(1))];
    const muProduct = slots.muProduct.mul(mu);
    const expAvg = movingAverage(slots.expAvg, g, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2);
    const now = g.mul(oneMinus(mu)).div(oneMinus(muProduct));
    const ahead = expAvg.mul(next).div(oneMinus(muProduct.mul(next)));
    const root = expAvgSq.div(biasCorrection(beta2, step)).sqrt().add(eps);
    return { param: theta.sub(now.add(ahead).div(root).mul(lr)), slots: { expAvg, expAvgSq, muProduct } };
  },
});
