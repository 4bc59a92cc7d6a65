import { coefficient, defineOptimizer, learningRate, meanings, nonNegative, positive, where } from '@adakit/core';

/**
 * FTRL-Proximal: every weight follows from the sum of all gradients so far, and is exactly zero where that is small (McMahan et
 * al. 2013, algorithm 1; options as keras.optimizers.Ftrl with a `learning_rate_power` of −½). It is for weights that start at
 * zero, which it pulls others to as well.
 *
 * ```text
 * n′ = n + g²                                    n: first initialAccumulatorValue
 * z ← z + g + 2λ_sθ − (√n′ − √n)/η · θ           n ← n′
 * θ ← (clip(z, −λ₁, λ₁) − z) / ((√n + β)/η + 2λ₂)
 * ```
 *
 * Defaults: `lr` η 1e-3, `beta` β 0 (1 in the paper), `l1` λ₁ 0, `l2` λ₂ 0, `l2Shrinkage` λ_s 0, `initialAccumulatorValue` 0.1.
 */
export const ftrl = defineOptimizer({
  name: 'ftrl',
  hyperparameters: {
    lr: learningRate(1e-3, { because: 'all weights are multiplied by it' }),
    beta: nonNegative(0),
    l1: coefficient(0),
    l2: nonNegative(0),
    l2Shrinkage: coefficient(0),
    initialAccumulatorValue: positive(0.1, {
      because: 'a gradient that was never other than zero is divided by its root',
    }),
  },
  slots: () => [
    { name: 'accumulator', meaning: { of: meanings.sumOfSquares } },
    { name: 'linear', meaning: { of: 'sum(grad - change of the rate * param)' } },
  ],

  update({ param, grad, slots, hyper, initial, uses, step }) {
    const { lr, beta, l1, l2, l2Shrinkage } = hyper;
    const before = where(step.equal(1), initial.initialAccumulatorValue, slots.accumulator);
    const square = grad.square();
    const accumulator = before.add(square);
    const root = accumulator.sqrt();
    // The difference of the roots, which would cancel.
    const growth = square.div(root.add(before.sqrt())).div(lr);
    const shrunk = uses.l2Shrinkage ? grad.add(param.mul(l2Shrinkage.mul(2))) : grad;
    const linear = slots.linear.add(shrunk).sub(growth.mul(param));
    const quadratic = root.add(beta).div(lr).add(l2.mul(2));
    const numerator = uses.l1 ? linear.clip(l1.neg(), l1).sub(linear) : linear.neg();
    return { param: numerator.div(quadratic), slots: { accumulator, linear } };
  },
});
