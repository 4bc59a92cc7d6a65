import {
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  meanings,
  meanOfSquare,
  movingAverage,
} from '@adakit/core';

/**
 * RMSprop (Hinton 2012, lecture 6e; options as torch.optim.RMSprop): the gradient over the root of its mean square.
 *
 * ```text
 * g ← g + λθ
 * v ← αv + (1 − α)g²          a ← αa + (1 − α)g with centered
 * u = g / (√(v − a²) + ε)          a = 0 without centered
 * θ ← θ − ηu; with momentum b ← μb + u, θ ← θ − ηb
 * ```
 *
 * Defaults: `lr` 1e-2, `alpha` 0.99, `eps` 1e-8, `momentum` 0, `centered` false, `weightDecay` 0 (coupled).
 */
export const rmsprop = defineOptimizer({
  name: 'rmsprop',
  hyperparameters: {
    lr: learningRate(1e-2),
    alpha: decayRate(0.99),
    eps: epsilon(1e-8),
    momentum: coefficient(0),
    centered: flag(false),
    weightDecay: coefficient(0),
  },
  slots: ({ momentum, centered }) => [
    { ...meanOfSquare('alpha'), name: 'squareAvg' },
    ...(centered ? ([{ name: 'gradAvg', meaning: { of: meanings.meanOfGradient, decay: 'alpha' } }] as const) : []),
    ...(momentum
      ? ([{ name: 'momentumBuffer', meaning: { of: 'sum(grad / rms(grad))', joinsLate: true } }] as const)
      : []),
  ],

  update({ param, grad, slots, hyper, uses }) {
    const { lr, alpha, eps, momentum } = hyper;
    const { g } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay } });
    const squareAvg = movingAverage(slots.squareAvg, g.square(), alpha);
    const gradAvg = uses.centered ? movingAverage(slots.gradAvg, g, alpha) : undefined;
    const variance = gradAvg === undefined ? squareAvg : squareAvg.sub(gradAvg.square());
    const update = g.div(variance.sqrt().add(eps));
    const direction = uses.momentum ? slots.momentumBuffer.mul(momentum).add(update) : update;
    return {
      param: param.sub(direction.mul(lr)),
      slots: { squareAvg, ...(gradAvg && { gradAvg }), ...(uses.momentum && { momentumBuffer: direction }) },
    };
  },
});
