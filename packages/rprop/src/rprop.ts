import { decayRate, defineOptimizer, learningRate, meanings, nonNegative, positive, where } from '@adakit/core';

/**
 * Rprop: every element has a step of its own, which grows while the gradient keeps its sign and shrinks when it turns; how
 * large the gradient is does not matter (Riedmiller & Braun 1993, §II, without going back; options as torch.optim.Rprop). For
 * gradients of all data: those of small batches turn by chance.
 *
 * ```text
 * p = g · g′                        g′: the gradient kept from the step before, first 0
 * s ← clip(s · η₊, s_min, s_max) where p > 0, clip(s · η₋, …) where p < 0          s: first the learning rate
 * g ← 0 where p < 0
 * θ ← θ − s · sign(g)               g′ ← g
 * ```
 *
 * Defaults: `lr` 1e-2, which is the first step alone, so that schedules have nothing to change; `etaMinus` η₋ 0.5, `etaPlus` η₊
 * 1.2, `minStep` 1e-6, `maxStep` 50.
 */
export const rprop = defineOptimizer({
  name: 'rprop',
  hyperparameters: {
    lr: learningRate(1e-2),
    etaMinus: decayRate(0.5, { because: 'a step of zero never grows again' }),
    etaPlus: { ...positive(1.2), atConstruction: { above: 1 }, perStep: { above: 1 } },
    minStep: nonNegative(1e-6),
    maxStep: positive(50),
  },
  slots: () => [
    { name: 'prev', meaning: { of: meanings.previousGradient } },
    { name: 'stepSize', meaning: { of: 'step of every element' } },
  ],

  update({ param, grad, slots, hyper: { etaMinus, etaPlus, minStep, maxStep }, initial, step }) {
    const before = where(step.equal(1), initial.lr, slots.stepSize);
    const product = grad.mul(slots.prev);
    const [goesOn, turns] = [product.greater(0), product.less(0)];
    const changed = where(goesOn, before.mul(etaPlus), where(turns, before.mul(etaMinus), before));
    const stepSize = changed.clip(minStep, maxStep);
    const prev = where(turns, 0, grad);
    return { param: param.sub(prev.sign().mul(stepSize)), slots: { prev, stepSize } };
  },
});
