import {
  asMatrix,
  asParam,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  learningRate,
  matMul,
  mean,
  movingAverage,
  norm,
  positive,
  scalar,
  type Scalar,
  type Tensor,
} from '@adakit/core';

/**
 * CAME: Adafactor with momentum, shortened where the momentum cannot be trusted (Luo et al. 2023, algorithm 2; options as
 * in the authors' code). Vectors keep a full second moment and are not shortened.
 *
 * ```text
 * θ ← θ(1 − ηλ)
 * r ← β₂r + (1 − β₂) mean over columns of g² + ε₁          c ← the same over rows
 * u = g / √(r·c/mean(r))          û = u / max(1, RMS(u)/d)
 * m ← β₁m + (1 − β₁)û
 * R ← β₃R + (1 − β₃) mean over columns of (û − m)² + ε₂          C ← the same over rows
 * θ ← θ − η · m / √(R·C/mean(R))
 * ```
 *
 * A tensor with more than two axes is seen as the matrix `[first axis, the rest]`.
 *
 * Defaults: `lr` 2e-4, `beta1` 0.9, `beta2` 0.999, `beta3` 0.9999, `eps1` 1e-30, `eps2` 1e-16, `clipping` d 1,
 * `weightDecay` 0 (decoupled).
 */
export const came = defineOptimizer({
  name: 'came',
  hyperparameters: {
    lr: learningRate(2e-4),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    beta3: decayRate(0.9999),
    eps1: positive(1e-30),
    eps2: positive(1e-16),
    clipping: positive(1),
    weightDecay: coefficient(0),
  },
  slots: (_, { matrix }) => [
    { name: 'expAvg', meaning: { of: 'mean(factored grad)', decay: 'beta1' } },
    ...(matrix
      ? ([
          // Counterparts: they change places where another layout exchanges rows and columns.
          { name: 'rowVar', shape: ['rows', 1], meaning: { of: 'mean(grad^2) along the other axis', decay: 'beta2' } },
          { name: 'colVar', shape: [1, 'cols'], meaning: { of: 'mean(grad^2) along the other axis', decay: 'beta2' } },
          { name: 'rowRes', shape: ['rows', 1], meaning: { of: 'instability along the other axis', decay: 'beta3' } },
          { name: 'colRes', shape: [1, 'cols'], meaning: { of: 'instability along the other axis', decay: 'beta3' } },
        ] as const)
      : ([{ name: 'expAvgSq', meaning: { of: 'mean(grad^2) + eps1', decay: 'beta2' } }] as const)),
  ],

  update({ param, grad, slots, hyper, uses, matrix, size }) {
    const { lr, beta1, beta2, beta3, eps1, eps2, clipping } = hyper;
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const clipped = (u: Tensor): Tensor => u.div(norm(u).div(size.sqrt()).div(clipping).max(1));
    const squares = grad.square().add(eps1);
    if (!matrix) {
      const expAvgSq = movingAverage(slots.expAvgSq, squares, beta2);
      const expAvg = movingAverage(slots.expAvg, clipped(grad.div(expAvgSq.sqrt())), beta1);
      return { param: theta.sub(expAvg.mul(lr)), slots: { expAvg, expAvgSq } };
    }
    const [rowVar, colVar] = averages(slots.rowVar, slots.colVar, squares, beta2);
    const update = clipped(grad.mul(inverseRoot(rowVar, colVar)));
    const expAvg = movingAverage(slots.expAvg, update, beta1);
    const [rowRes, colRes] = averages(slots.rowRes, slots.colRes, update.sub(expAvg).square().add(eps2), beta3);
    const trusted = expAvg.mul(inverseRoot(rowRes, colRes));
    return { param: theta.sub(trusted.mul(lr)), slots: { expAvg, rowVar, colVar, rowRes, colRes } };
  },
});

function averages(rows: Tensor, cols: Tensor, squares: Tensor, beta: Scalar): [Tensor, Tensor] {
  const matrix = asMatrix(squares);
  return [movingAverage(rows, mean(matrix, 'cols'), beta), movingAverage(cols, mean(matrix, 'rows'), beta)];
}

/** 1/√(r·c/mean(r)). The roots are taken apart: the product of small averages is below float32. */
function inverseRoot(rows: Tensor, cols: Tensor): Tensor {
  const one = scalar(1);
  return asParam(matMul(one.div(rows.div(mean(rows)).sqrt()), one.div(cols.sqrt())));
}
