import {
  asMatrix,
  asParam,
  coefficient,
  defineOptimizer,
  learningRate,
  matMul,
  meanings,
  norm,
  positive,
  repeats,
  rowIndex,
  scalar,
  colIndex,
  transpose,
  where,
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
 * The roots are found by a coupled Newton iteration (Guo & Higham 2006; Anil et al. 2020, algorithm I), which needs products
 * alone: from z = 5/(2‖A‖), M = zA, X = z^¼·I, repeat T = (5I − M)/4, X ← XT, M ← T⁴M. In float32 a condition of L or R
 * beyond about 1e6 costs digits; raise `eps`.
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
      ? ([
          // Counterparts: they change places where another layout exchanges rows and columns.
          { name: 'left', shape: ['rows', 'rows'], meaning: { of: 'sum of inner products of grad' } },
          { name: 'right', shape: ['cols', 'cols'], meaning: { of: 'sum of inner products of grad' } },
        ] as const)
      : ([{ name: 'sumOfSquares', meaning: { of: meanings.sumOfSquares } }] as const)),
    ...(momentum ? ([{ name: 'momentumBuffer', meaning: { of: 'sum(preconditioned grad)' } }] as const) : []),
  ],

  update({ param, grad, slots, hyper, uses, matrix }) {
    const { lr, eps, beta2, momentum, weightDecay } = hyper;
    const add = (before: Tensor, x: Tensor): Tensor =>
      uses.beta2 ? before.mul(beta2).add(x.mul(scalar(1).sub(beta2))) : before.add(x);

    const kept = matrix
      ? preconditioned(asMatrix(grad), slots.left, slots.right, eps, uses.rootSteps, add)
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

function preconditioned(g: Tensor, leftBefore: Tensor, rightBefore: Tensor, eps: Scalar, steps: number, add: Add) {
  const left = add(leftBefore, matMul(g, transpose(g)));
  const right = add(rightBefore, matMul(transpose(g), g));
  const identities = [rowIndex().equal(transpose(rowIndex())), colIndex().equal(transpose(colIndex()))] as const;
  const [rowsOne, colsOne] = identities.map((same) => where(same, 1, 0));
  const update = matMul(
    matMul(inverseFourthRoot(left.add(rowsOne.mul(eps)), rowsOne, steps), g),
    inverseFourthRoot(right.add(colsOne.mul(eps)), colsOne, steps),
  );
  return { update: asParam(update), slots: { left, right } };
}

function diagonal(g: Tensor, before: Tensor, eps: Scalar, add: Add) {
  const sumOfSquares = add(before, g.square());
  return { update: g.div(sumOfSquares.add(eps).sqrt()), slots: { sumOfSquares } };
}

/** A^(−1/4) of a symmetric positive definite A. */
function inverseFourthRoot(a: Tensor, one: Tensor, steps: number): Tensor {
  const z = scalar(2.5).div(norm(a));
  let m = a.mul(z);
  let x = one.mul(z.sqrt().sqrt());
  for (let i = 0; i < steps; i++) {
    const t = one.mul(5).sub(m).div(4);
    const square = matMul(t, t);
    x = matMul(x, t);
    m = matMul(matMul(square, square), m);
  }
  return x;
}
