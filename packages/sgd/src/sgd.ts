import { coefficient, decay, defineOptimizer, flag, learningRate, meanings, oneMinus, where } from '@adakit/core';

/**
 * Stochastic gradient descent, with momentum as in Sutskever et al. 2013 in PyTorch's form.
 *
 * ```text
 * g ← g + λθ
 * b ← g at t = 1, then μb + (1 − dampening)g
 * d = g + μb with nesterov, otherwise b
 * θ ← θ − ηd
 * ```
 *
 * `lr` (η > 0) is required; `momentum` (μ ≥ 0) 0, `dampening` 0, `nesterov` false, `weightDecay` (λ, coupled) 0.
 */
export const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: {
    lr: learningRate(),
    momentum: coefficient(0),
    dampening: coefficient(0),
    nesterov: flag(false),
    weightDecay: coefficient(0),
  },
  // Step 1 sets the buffer, so it starts with the count.
  slots: ({ momentum }) => (momentum ? [{ name: 'momentumBuffer', meaning: { of: meanings.sumOfGradients } }] : []),

  update({ param, grad, slots, hyper, uses, step }) {
    const { lr, momentum, dampening } = hyper;
    const { g } = decay({ param, grad, hyper, uses });
    if (!uses.momentum) return { param: param.sub(g.mul(lr)) };

    const damped = uses.dampening ? g.mul(oneMinus(dampening)) : g;
    const momentumBuffer = where(step.equal(1), g, slots.momentumBuffer.mul(momentum).add(damped));
    const direction = uses.nesterov ? g.add(momentumBuffer.mul(momentum)) : momentumBuffer;
    return { param: param.sub(direction.mul(lr)), slots: { momentumBuffer } };
  },
});
