import {
  coefficient,
  decayRate,
  defineOptimizer,
  flag,
  learningRate,
  meanings,
  norm,
  positive,
  where,
} from '@adakit/core';

/**
 * LARS: momentum with a rate for every layer (You et al. 2017, algorithm 1).
 *
 * ```text
 * matrices:  r = τ‖θ‖ / (‖g‖ + λ‖θ‖), 1 where a norm is zero          g ← r(g + λθ)
 * vectors stay as they are
 * b ← μb + g
 * θ ← θ − ηb; with nesterov θ ← θ − η(g + μb)
 * ```
 *
 * Defaults: `lr` 1e-3, `momentum` 0.9, `nesterov` false, `trustCoefficient` τ 1e-3, `weightDecay` 0, for matrices alone.
 */
export const lars = defineOptimizer({
  name: 'lars',
  hyperparameters: {
    lr: learningRate(1e-3),
    momentum: decayRate(0.9),
    nesterov: flag(false),
    trustCoefficient: positive(1e-3),
    weightDecay: coefficient(0),
  },
  slots: () => [{ name: 'momentumBuffer', meaning: { of: `layerwise ${meanings.sumOfGradients}`, joinsLate: true } }],

  update({ param, grad, slots, hyper, uses, matrix }) {
    const { lr, momentum, trustCoefficient, weightDecay } = hyper;
    let g = grad;
    if (matrix) {
      const weights = norm(param);
      const length = uses.weightDecay ? norm(grad).add(weights.mul(weightDecay)) : norm(grad);
      const ratio = where(length.greater(0), weights.mul(trustCoefficient).div(length), 1);
      const decayed = uses.weightDecay ? grad.add(param.mul(weightDecay)) : grad;
      g = decayed.mul(where(weights.greater(0), ratio, 1));
    }
    const momentumBuffer = slots.momentumBuffer.mul(momentum).add(g);
    const update = uses.nesterov ? g.add(momentumBuffer.mul(momentum)) : momentumBuffer;
    return { param: param.sub(update.mul(lr)), slots: { momentumBuffer } };
  },
});
