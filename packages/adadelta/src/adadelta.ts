import {
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  meanOfSquare,
  movingAverage,
} from '@adakit/core';

/**
 * Adadelta: steps in the units of the parameter (Zeiler 2012, algorithm 1; options as torch.optim.Adadelta).
 *
 * ```text
 * g ← g + λθ
 * v ← ρv + (1 − ρ)g²
 * u = g · √(a + ε) / √(v + ε)
 * a ← ρa + (1 − ρ)u²
 * θ ← θ − ηu
 * ```
 *
 * Defaults: `lr` 1, `rho` 0.9, `eps` 1e-6, `weightDecay` 0 (coupled).
 */
export const adadelta = defineOptimizer({
  name: 'adadelta',
  hyperparameters: {
    lr: learningRate(1),
    rho: decayRate(0.9),
    eps: epsilon(1e-6),
    weightDecay: coefficient(0),
  },
  slots: () => [
    { ...meanOfSquare('rho'), name: 'squareAvg' },
    { name: 'accDelta', meaning: { of: 'mean(update^2)', decay: 'rho' } },
  ],

  update({ param, grad, slots, hyper, uses }) {
    const { lr, rho, eps } = hyper;
    const { g } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay } });
    const squareAvg = movingAverage(slots.squareAvg, g.square(), rho);
    const update = slots.accDelta.add(eps).sqrt().div(squareAvg.add(eps).sqrt()).mul(g);
    const accDelta = movingAverage(slots.accDelta, update.square(), rho);
    return { param: param.sub(update.mul(lr)), slots: { squareAvg, accDelta } };
  },
});
