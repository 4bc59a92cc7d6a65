import {
  choice,
  coefficient,
  count,
  decay,
  decayRate,
  definePhasedOptimizer,
  learningRate,
  meanOfGradient,
  movingAverage,
  positive,
  secondGradient,
  where,
} from '@adakit/core';

/**
 * Sophia-G (Liu et al. 2023, algorithms 2 and 3): momentum over an estimate of the Hessian's diagonal, with no element of
 * the step larger than the learning rate.
 *
 * ```text
 * m ← β₁m + (1 − β₁)g
 * h ← β₂h + (1 − β₂)·B·ĝ²          at steps 1, 1 + k, …; B: samples in the batch
 * θ ← θ(1 − ηλ) − η · clip(m / max(γh, ε), −1, 1)
 * ```
 *
 * ĝ is a second gradient, of the mean loss of the batch with labels that are drawn from the model's own output (the
 * Gauss–Newton–Bartlett estimator). The run asks for it: see `needsEstimate`. With `estimator` `gradient` it is g itself,
 * the empirical Fisher information that the paper compares with (§3.3), which costs no second evaluation and is a worse
 * estimate.
 *
 * Defaults: `lr` 1e-4, `beta1` 0.96, `beta2` 0.99, `gamma` 0.05, `eps` 1e-12, `weightDecay` 0.2 (decoupled), `every` 10 (k),
 * `estimator` sampled.
 */
export const sophia = definePhasedOptimizer({
  name: 'sophia',
  hyperparameters: {
    lr: learningRate(1e-4),
    beta1: decayRate(0.96),
    beta2: decayRate(0.99),
    gamma: positive(0.05, { because: 'it is how much the estimate of the Hessian counts' }),
    eps: positive(1e-12, { because: 'the step is divided by it where the estimate is zero' }),
    weightDecay: coefficient(0.2),
    every: count(10),
    estimator: choice('sampled', 'gradient'),
  },
  secondGradient,
  slots: () => [
    meanOfGradient(),
    { name: 'hessian', meaning: { of: 'mean(squared gradient of drawn labels)', decay: 'beta2', joinsLate: true } },
  ],

  update({ param, grad, estimate, estimated, samples, slots, hyper, uses, step }) {
    const { lr, beta1, beta2, gamma, eps, every } = hyper;
    const isSampled = uses.estimator === 'sampled';
    const due = isSampled ? estimated.equal(1) : step.sub(1).mod(every).equal(0);
    const curvature = (isSampled ? estimate : grad).square().mul(samples);

    const m = movingAverage(slots.expAvg, grad, beta1);
    const h = where(due, movingAverage(slots.hessian, curvature, beta2), slots.hessian);
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const direction = m.div(h.mul(gamma).max(eps)).clip(-1, 1);
    return { param: theta.sub(direction.mul(lr)), slots: { expAvg: m, hessian: h } };
  },
});
