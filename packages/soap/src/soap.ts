import {
  asMatrix,
  asParam,
  bothSides,
  coefficient,
  correctedRate,
  count,
  decayRate,
  defineOptimizer,
  descending,
  eigenvectors,
  epsilon,
  learningRate,
  matMul,
  movingAverage,
  oneMinus,
  orthonormal,
  sideStatistics,
  sum,
  transpose,
  where,
  type Condition,
  type Tensor,
} from '@adakit/core';

/**
 * SOAP (Vyas et al. 2024, algorithm 3; steps, order and defaults as in the authors' code): Adam whose second moment is that
 * of the gradient in the eigenbasis of Shampoo's preconditioners L and R.
 *
 * ```text
 * m ← β₁m + (1 − β₁)G          V ← β₂V + (1 − β₂)(QₗᵀGQᵣ)²
 * θ ← θ − η(√c₂/c₁) · Qₗ[QₗᵀmQᵣ / (√V + ε)]Qᵣᵀ          cᵢ = 1 − βᵢᵗ
 * θ ← θ(1 − ηλ)
 * L ← βL + (1 − β)GGᵀ          R ← βR + (1 − β)GᵀG
 * Qₗ ← QR(L·Qₗ), Qᵣ ← QR(R·Qᵣ) every `every` steps: columns in the order of QᵀLQ's diagonal, and V with them
 * ```
 *
 * The first step changes no parameter: it makes L and R, and Q of their eigenvectors; t counts the steps after it. Vectors
 * have no basis and are Adam's. Tensors with more than two axes are seen as `[first axis, the rest]`.
 *
 * A matrix keeps 2·rows² + 2·cols² numbers beside Adam's, and its first step takes eigenvectors of both sides, which is slow
 * above some hundreds of rows: give large embeddings another optimizer by `groups()`. Where a matrix is not square, the first
 * gradient leaves part of the larger basis open, and devices that are not the host's may choose another.
 *
 * Defaults: `lr` 3e-3, `beta1` 0.95, `beta2` 0.95, `shampooBeta` 0 (β; stands for `beta2`), `eps` 1e-8, `weightDecay` 0.01
 * (decoupled), `every` 10.
 */
export const soap = defineOptimizer({
  name: 'soap',
  hyperparameters: {
    lr: learningRate(3e-3),
    beta1: decayRate(0.95),
    beta2: decayRate(0.95),
    shampooBeta: coefficient(0),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0.01),
    every: count(10),
  },
  slots: (_, { matrix }) => [
    // They begin with the second step, which the step counts of other optimizers' moments do not allow for.
    'expAvg',
    { name: 'expAvgSq', shape: matrix ? ['rows', 'cols'] : 'param' },
    ...(matrix ? sides : []),
  ],

  update({ param, grad, slots, hyper, uses, step, matrix }) {
    const { lr, beta1, beta2, eps, every, weightDecay } = hyper;
    const first = step.equal(1);
    const updates = step.sub(1);
    const begun = (before: Tensor, after: Tensor): Tensor => where(first, before, after);
    const g = matrix ? asMatrix(grad) : grad;
    const project = (x: Tensor): Tensor => (matrix ? matMul(transpose(slots.leftBasis), x, slots.rightBasis) : x);
    const back = (x: Tensor): Tensor => (matrix ? asParam(matMul(slots.leftBasis, x, transpose(slots.rightBasis))) : x);

    const m = begun(slots.expAvg, movingAverage(slots.expAvg, grad, beta1));
    const v = begun(slots.expAvgSq, movingAverage(slots.expAvgSq, project(g).square(), beta2));
    const direction = back(project(matrix ? asMatrix(m) : m).div(v.sqrt().add(eps)));
    // Before there is an update, the rate is not looked at but must be a number.
    const moved = param.sub(direction.mul(correctedRate(hyper, updates.max(1))));
    const theta = begun(param, uses.weightDecay ? moved.mul(oneMinus(lr.mul(weightDecay))) : moved);
    if (!matrix) return { param: theta, slots: { expAvg: m, expAvgSq: v } };

    const beta = uses.shampooBeta ? hyper.shampooBeta : beta2;
    const { left, right } = sideStatistics(g, slots, (before, product) => movingAverage(before, product, beta));
    const due = where(first, 1, updates.mod(every)).equal(0);
    const rows = refreshed(left, slots.leftBasis, { first, due });
    const cols = refreshed(right, slots.rightBasis, { first, due });
    const expAvgSq = where(due, matMul(transpose(rows.order), v, cols.order), v);
    return {
      param: theta,
      slots: { expAvg: m, expAvgSq, left, right, leftBasis: rows.basis, rightBasis: cols.basis },
    };
  },
});

const sides = [
  ...bothSides('left', 'right', 'mean(inner products of grad)'),
  ...bothSides('leftBasis', 'rightBasis', 'eigenbasis of inner products of grad'),
] as const;

/** The basis after a step, and the permutation of its columns by which their eigenvalues descend. */
function refreshed(a: Tensor, basis: Tensor, { first, due }: Readonly<Record<'first' | 'due', Condition<'scalar'>>>) {
  const product = matMul(a, basis);
  const order = descending(sum(basis.mul(product), 'rows'));
  const next = where(due, orthonormal(matMul(product, order)), basis);
  return { basis: where(first, eigenvectors(a), next), order };
}
