import {
  asMatrix,
  asParam,
  coefficient,
  defineOptimizer,
  largest,
  learningRate,
  meanings,
  movingAverage,
  oneMinus,
  positive,
  type Tensor,
} from '@adakit/core';

/**
 * SM3: Adagrad whose sums are kept as one number a row and one a column (Anil et al. 2019, algorithm SM3-II; options as in
 * pytorch-optimizer). Vectors keep them in full.
 *
 * ```text
 * ν = min(r, c) + g²          with beta: β·min(r, c) + (1 − β)g²
 * r ← max over columns of ν          c ← max over rows of ν          with beta: never below what they were
 * b ← μb + (1 − μ) g/√(ν + ε)
 * θ ← θ − ηb
 * ```
 *
 * A tensor with more than two axes is seen as the matrix `[first axis, the rest]`.
 *
 * Defaults: `lr` 0.1, `momentum` μ 0, `beta` 0 (stands for a sum), `eps` 1e-30.
 */
export const sm3 = defineOptimizer({
  name: 'sm3',
  hyperparameters: {
    lr: learningRate(0.1),
    momentum: coefficient(0),
    beta: coefficient(0),
    eps: positive(1e-30, { because: 'a gradient that was never other than zero is divided by its root' }),
  },
  slots: ({ momentum, beta }, { matrix }) => [
    ...(matrix
      ? ([
          // Counterparts: they change places where another layout exchanges rows and columns.
          { name: 'rowMax', shape: ['rows', 1], meaning: { of: 'cover of sum(grad^2)' } },
          { name: 'colMax', shape: [1, 'cols'], meaning: { of: 'cover of sum(grad^2)' } },
        ] as const)
      : ([{ name: 'sumOfSquares', meaning: { of: beta ? 'cover of mean(grad^2)' : meanings.sumOfSquares } }] as const)),
    ...(momentum ? ([{ name: 'momentumBuffer', meaning: { of: 'mean(scaled grad)' } }] as const) : []),
  ],

  update({ param, grad, slots, hyper, uses, matrix }) {
    const { lr, momentum, beta, eps } = hyper;
    const add = (cover: Tensor, square: Tensor): Tensor =>
      uses.beta ? cover.mul(beta).add(square.mul(oneMinus(beta))) : cover.add(square);
    const keep = (before: Tensor, now: Tensor): Tensor => (uses.beta ? before.max(now) : now);
    const kept = matrix
      ? byAxes(asMatrix(grad).square(), slots.rowMax, slots.colMax, add, keep)
      : inFull(grad.square(), slots.sumOfSquares, add, keep);
    const scaled = grad.div(kept.cover.add(eps).sqrt());
    const update = uses.momentum ? movingAverage(slots.momentumBuffer, scaled, momentum) : scaled;
    return {
      param: param.sub(update.mul(lr)),
      slots: { ...kept.slots, ...(uses.momentum && { momentumBuffer: update }) },
    };
  },
});

type Combine = (before: Tensor, now: Tensor) => Tensor;

function byAxes(square: Tensor, rows: Tensor, cols: Tensor, add: Combine, keep: Combine) {
  const cover = add(rows.min(cols), square);
  const slots = { rowMax: keep(rows, largest(cover, 'cols')), colMax: keep(cols, largest(cover, 'rows')) };
  return { cover: asParam(cover), slots };
}

function inFull(square: Tensor, before: Tensor, add: Combine, keep: Combine) {
  const cover = add(before, square);
  return { cover, slots: { sumOfSquares: keep(before, cover) } };
}
