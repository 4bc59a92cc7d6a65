import {
  biasCorrection,
  coefficient,
  decayRate,
  definePhasedOptimizer,
  epsilon,
  learningRate,
  meanOfSquare,
  movingAverage,
  nonNegative,
  oneMinus,
  scalar,
  where,
  type Scalar,
  type Tensor,
} from '@adakit/core';

/**
 * Schedule-Free learning (Defazio et al. 2024, algorithm 1): an average of the iterates takes the place of a falling
 * learning rate. The gradient is taken at y, between the base iterate z and the average x.
 *
 * ```text
 * η_t = η · min(1, t/warmupSteps)          w = t^r · (max η)^p          c = w / Σw
 * u: the update of the base optimizer at y, plus λy
 * y ← (1 − c)y + cz + η_t(β(1 − c) − 1)u
 * z ← z − η_t·u
 * ```
 *
 * The parameter that is trained is y. Evaluate, predict with and export the view `averaged`, x = y + (1 − 1/β)(z − y).
 */
const iterate = { name: 'z', start: 'param', meaning: { of: 'iterate(param)' } } as const;

const shared = {
  /** Exponent r of the step in the weights of the average. */
  r: nonNegative(0),
  warmupSteps: nonNegative(0),
  /** Exponent p of the learning rate in the weights of the average. */
  weightLrPower: nonNegative(2),
  weightDecay: coefficient(0),
};

const globals = () => ['weightSum', 'lrMax', 'weight'] as const;

interface Averaging {
  readonly hyper: {
    readonly lr: Scalar;
    readonly r: Scalar;
    readonly warmupSteps: Scalar;
    readonly weightLrPower: Scalar;
  };
  readonly step: Scalar;
}

/** η_t: a straight rise over `warmupSteps`. */
const rate = ({ hyper: { lr, warmupSteps }, step }: Averaging): Scalar => lr.mul(step.div(warmupSteps.max(1)).min(1));

/** The weight of this step in the average, with the largest learning rate so far. */
function nextWeights(inputs: Averaging & { readonly globals: { readonly weightSum: Tensor; readonly lrMax: Tensor } }) {
  const { hyper, step, globals: before } = inputs;
  const lrMax = before.lrMax.max(rate(inputs));
  const power = where(hyper.weightLrPower.equal(0), 1, lrMax.pow(hyper.weightLrPower));
  const weight = power.mul(step.pow(hyper.r));
  const weightSum = before.weightSum.add(weight);
  return { lrMax, weightSum, weight: where(weightSum.equal(0), 0, weight.div(weightSum)) };
}

/** y and z after a step along u. */
function move(
  y: Tensor,
  z: Tensor,
  u: Tensor,
  { lr, weight, beta }: { readonly lr: Scalar; readonly weight: Tensor; readonly beta: Scalar },
) {
  const interpolated = y.add(z.sub(y).mul(weight));
  return { y: interpolated.add(u.mul(oneMinus(weight).mul(beta).sub(1).mul(lr))), z: z.sub(u.mul(lr)) };
}

/** x = y + (1 − 1/β)(z − y). */
const averaged = (y: Tensor, z: Tensor, beta: Scalar): Tensor => y.add(z.sub(y).mul(oneMinus(scalar(1).div(beta))));

const betaReason = { because: 'the average is at z + (y - z)/beta, so 0 divides by zero' };

/**
 * Schedule-Free AdamW (Defazio et al. 2024; schedulefree.AdamWScheduleFree): Adam's second moment, no mean, weight decay at
 * y.
 *
 * Defaults: `lr` 2.5e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `r` 0, `warmupSteps` 0, `weightLrPower` 2, `weightDecay` 0.
 */
export const scheduleFreeAdamW = definePhasedOptimizer({
  name: 'scheduleFreeAdamW',
  hyperparameters: {
    lr: learningRate(2.5e-3),
    beta1: decayRate(0.9, betaReason),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    ...shared,
  },
  slots: () => [iterate, meanOfSquare()],
  globals,
  total: nextWeights,

  update({ param, grad, slots, hyper, globals, uses, step }) {
    const { beta1, beta2, eps, weightDecay } = hyper;
    const v = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const adaptive = grad.div(v.div(biasCorrection(beta2, step)).sqrt().add(eps));
    const update = uses.weightDecay ? adaptive.add(param.mul(weightDecay)) : adaptive;
    const { y, z } = move(param, slots.z, update, { lr: rate({ hyper, step }), weight: globals.weight, beta: beta1 });
    return { param: y, slots: { z, expAvgSq: v } };
  },
  views: { averaged: ({ param, slots, hyper }) => averaged(param, slots.z, hyper.beta1) },
});

/**
 * Schedule-Free SGD (Defazio et al. 2024; schedulefree.SGDScheduleFree): plain gradient steps of z.
 *
 * Defaults: `lr` 1, `momentum` β 0.9, `r` 0, `warmupSteps` 0, `weightLrPower` 2, `weightDecay` 0.
 */
export const scheduleFreeSgd = definePhasedOptimizer({
  name: 'scheduleFreeSgd',
  hyperparameters: { lr: learningRate(1), momentum: decayRate(0.9, betaReason), ...shared },
  slots: () => [iterate],
  globals,
  total: nextWeights,

  update({ param, grad, slots, hyper, globals, uses, step }) {
    const update = uses.weightDecay ? grad.add(param.mul(hyper.weightDecay)) : grad;
    const { momentum: beta } = hyper;
    const { y, z } = move(param, slots.z, update, { lr: rate({ hyper, step }), weight: globals.weight, beta });
    return { param: y, slots: { z } };
  },
  views: { averaged: ({ param, slots, hyper }) => averaged(param, slots.z, hyper.momentum) },
});
