import { coefficient, decay, defineOptimizer, epsilon, learningRate, meanings, where } from '@adakit/core';

/**
 * Adagrad: rates by the sum of squared gradients (Duchi et al. 2011; options as torch.optim.Adagrad).
 *
 * ```text
 * g ← g + λθ
 * s ← s + g²          s starts at `initialAccumulatorValue`
 * θ ← θ − η/(1 + (t − 1)·lrDecay) · g / (√s + ε)
 * ```
 *
 * Defaults: `lr` 1e-2, `lrDecay` 0, `eps` 1e-10, `initialAccumulatorValue` 0, `weightDecay` 0 (coupled).
 */
export const adagrad = defineOptimizer({
  name: 'adagrad',
  hyperparameters: {
    lr: learningRate(1e-2),
    lrDecay: coefficient(0),
    eps: epsilon(1e-10),
    initialAccumulatorValue: coefficient(0),
    weightDecay: coefficient(0),
  },
  slots: () => [{ name: 'sum', meaning: { of: meanings.sumOfSquares } }],

  update({ param, grad, slots, hyper, initial, uses, step }) {
    const { g } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay } });
    const before = uses.initialAccumulatorValue
      ? where(step.equal(1), initial.initialAccumulatorValue, slots.sum)
      : slots.sum;
    const sum = before.add(g.square());
    const rate = uses.lrDecay ? hyper.lr.div(step.sub(1).mul(hyper.lrDecay).add(1)) : hyper.lr;
    return { param: param.sub(g.div(sum.sqrt().add(hyper.eps)).mul(rate)), slots: { sum } };
  },
});
