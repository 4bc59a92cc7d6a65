import {
  asMatrix,
  asParam,
  bothSides,
  coefficient,
  defineOptimizer,
  identity,
  inverseFourthRoot,
  learningRate,
  matMul,
  meanings,
  movingAverage,
  positive,
  repeats,
  sideStatistics,
  type Scalar,
  type Tensor,
} from '@adakit/core';

/**
 * Shampoo (Gupta et al. 2018, algorithm 1): the gradient of a matrix is preconditioned from both sides by what its rows and
 * its columns have in common. Vectors have Adagrad's denominator.
 *
 * ```text
 * L ← sL + wGGᵀ          R ← sR + wGᵀG          s = w = 1, or β₂ and 1 − β₂ with beta2
 * U = (L + εI)^(−1/4) · G · (R + εI)^(−1/4)
 * B ← μB + U          θ ← θ − η(B + λθ)
 * ```
 *
 * The roots are found by `rootSteps` of a coupled Newton iteration (`inverseFourthRoot`; Anil et al. 2020, algorithm I), which
 * needs products alone. In float32 a condition of L or R beyond about 1e6 costs digits; raise `eps`.
 *
 * Tensors with more than two axes are seen as `[first axis, the rest]`.
 *
 * Defaults: `lr` 0.1, `eps` 1e-4, `beta2` 0 (stands for a sum), `momentum` 0, `weightDecay` 0, `rootSteps` 40.
 */
export const shampoo = defineOptimizer({
  name: 'shampoo',
  hyperparameters: {
    lr: learningRate(0.1),
    eps: positive(1e-4, { because: 'the roots of a singular matrix do not exist' }),
    beta2: coefficient(0),
    momentum: coefficient(0),
    weightDecay: coefficient(0),
    rootSteps: repeats(40),
  },
  slots: ({ momentum }, { matrix }) => [
    ...(matrix
      ? bothSides('left', 'right', 'sum of inner products of grad')
      : ([{ name: 'sumOfSquares', meaning: { of: meanings.sumOfSquares } }] as const)),
    ...(momentum ? ([{ name: 'momentumBuffer', meaning: { of: 'sum(preconditioned grad)' } }] as const) : []),
  ],

  update({ param, grad, slots, hyper, uses, matrix }) {
    const { lr, eps, beta2, momentum, weightDecay } = hyper;
    const add = (before: Tensor, x: Tensor): Tensor => (uses.beta2 ? movingAverage(before, x, beta2) : before.add(x));

    const kept = matrix
      ? preconditioned(asMatrix(grad), sideStatistics(asMatrix(grad), slots, add), eps, uses.rootSteps)
      : diagonal(grad, slots.sumOfSquares, eps, add);
    const direction = uses.momentum ? slots.momentumBuffer.mul(momentum).add(kept.update) : kept.update;
    const step = uses.weightDecay ? direction.add(param.mul(weightDecay)) : direction;
    return {
      param: param.sub(step.mul(lr)),
      slots: { ...kept.slots, ...(uses.momentum && { momentumBuffer: direction }) },
    };
  },
});

type Add = (before: Tensor, x: Tensor) => Tensor;
type Sides = ReturnType<typeof sideStatistics>;

function preconditioned(g: Tensor, statistics: Sides, eps: Scalar, steps: number) {
  const [rows, cols] = [identity('rows'), identity('cols')];
  const left = inverseFourthRoot(statistics.left.add(rows.mul(eps)), rows, steps);
  const right = inverseFourthRoot(statistics.right.add(cols.mul(eps)), cols, steps);
  return { update: asParam(matMul(left, g, right)), slots: statistics };
}

function diagonal(g: Tensor, before: Tensor, eps: Scalar, add: Add) {
  const sumOfSquares = add(before, g.square());
  return { update: g.div(sumOfSquares.add(eps).sqrt()), slots: { sumOfSquares } };
}
