import {
  anyNumber,
  asMatrix,
  asParam,
  coefficient,
  decay,
  defineOptimizer,
  learningRate,
  matMul,
  mean,
  norm,
  positive,
  scalar,
  type Scalar,
  type Tensor,
} from '@adakit/core';

/**
 * Adafactor (Shazeer & Stern 2018, algorithm 4; defaults and places of ε as in torch.optim.Adafactor): Adam without a mean,
 * whose second moment is kept as one number a row and one a column. Vectors keep it in full.
 *
 * ```text
 * ρ = min(η, 1/√t)          α = max(ε₂, RMS(θ)) · ρ          β̂ = 1 − t^κ
 * θ ← θ(1 − ηλ)
 * r ← β̂r + (1 − β̂) mean over columns of g²          c ← β̂c + (1 − β̂) mean over rows of g²
 * v̂ = r·c / max(mean(r), ε₁)
 * u = g / √max(v̂, ε₁²)
 * θ ← θ − α · u / max(1, RMS(u)/d)
 * ```
 *
 * A tensor with more than two axes is seen as the matrix `[first axis, the rest]`, where PyTorch factors the last two axes
 * of each slice.
 *
 * Defaults: `lr` η 1e-2, `beta2Decay` κ −0.8, `eps1` 2⁻²³, `eps2` 1e-3, `clipping` d 1, `weightDecay` λ 0.
 */
export const adafactor = defineOptimizer({
  name: 'adafactor',
  hyperparameters: {
    lr: learningRate(1e-2),
    beta2Decay: anyNumber(-0.8),
    eps1: positive(2 ** -23),
    eps2: positive(1e-3),
    clipping: positive(1),
    weightDecay: coefficient(0),
  },
  slots: (_, { matrix }) =>
    matrix
      ? [
          // Counterparts: they change places where another layout exchanges rows and columns.
          { name: 'rowVar', shape: ['rows', 1], meaning: { of: 'mean(grad^2) along the other axis' } },
          { name: 'colVar', shape: [1, 'cols'], meaning: { of: 'mean(grad^2) along the other axis' } },
        ]
      : [{ name: 'variance', meaning: { of: 'mean(grad^2), decaying as t^k' } }],

  update({ param, grad, slots, hyper, uses, step, matrix, size }) {
    const { lr, beta2Decay, eps1, eps2, clipping } = hyper;
    const rms = (x: Tensor): Tensor => norm(x).div(size.sqrt());
    const weight = step.pow(beta2Decay);
    const alpha = rms(param)
      .max(eps2)
      .mul(lr.min(scalar(1).div(step.sqrt())));
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });

    const kept = matrix
      ? factored(asMatrix(grad).square(), slots.rowVar, slots.colVar, weight, eps1)
      : full(grad.square(), slots.variance, weight);
    const update = grad.div(kept.estimate.max(eps1.square()).sqrt());
    const limit = rms(update).div(clipping).max(1);
    return { param: theta.sub(update.mul(alpha.div(limit))), slots: kept.slots };
  },
});

/** A step of the average with weight w for the new value: a + w(x − a). */
const towards = (average: Tensor, value: Tensor, weight: Scalar): Tensor => average.add(value.sub(average).mul(weight));

function factored(squares: Tensor, rows: Tensor, cols: Tensor, weight: Scalar, eps1: Scalar) {
  const rowVar = towards(rows, mean(squares, 'cols'), weight);
  const colVar = towards(cols, mean(squares, 'rows'), weight);
  const estimate = matMul(rowVar, colVar).div(mean(rowVar).max(eps1));
  return { estimate: asParam(estimate), slots: { rowVar, colVar } };
}

function full(squares: Tensor, average: Tensor, weight: Scalar) {
  const variance = towards(average, squares, weight);
  return { estimate: variance, slots: { variance } };
}
