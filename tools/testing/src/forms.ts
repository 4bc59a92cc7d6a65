import {
  bfloat16,
  float16,
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  defineOptimizer,
  eigenvectors,
  largest,
  leadingColumns,
  makePlan,
  matMul,
  mean,
  norm,
  orthonormal,
  random,
  rankIndex,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type Program,
  type Tensor,
} from '@adakit/core';

/** A value made of two of the parameter's shape. */
export type Form = (x: Tensor, y: Tensor) => Tensor;

/** The program whose output `param` is a form of the inputs `param` and `grad`. */
export function programOf(form: Form): Program {
  const optimizer = defineOptimizer({
    name: 'form',
    hyperparameters: {},
    update: ({ param, grad }) => ({ param: form(param, grad) }),
  })();
  const [stage] = makePlan(optimizer, [{ name: 'x', shape: [1] }]).stages;
  if (stage.kind === 'total') throw new Error('a rule of one program is expected');
  return stage.calls[0].program;
}

/** Every elementwise operation, on elements, with constants, and with numbers of all elements. */
export const elementwiseForms: readonly (readonly [name: string, form: Form])[] = [
  ['x + y', (x, y) => x.add(y)],
  ['x − y', (x, y) => x.sub(y)],
  ['x · y', (x, y) => x.mul(y)],
  ['x / y', (x, y) => x.div(y)],
  ['x ^ y', (x, y) => x.abs().pow(y)],
  ['x ^ 3', (x) => x.pow(3)],
  ['x ^ −2', (x) => x.pow(-2)],
  ['x ^ 0', (x) => x.pow(0)],
  ['min(x, y)', (x, y) => x.min(y)],
  ['max(x, y)', (x, y) => x.max(y)],
  ['clip(x, −1, 1)', (x) => x.clip(-1, 1)],
  ['−x', (x) => x.neg()],
  ['|x|', (x) => x.abs()],
  ['sign x', (x) => x.sign()],
  ['x²', (x) => x.square()],
  ['√x', (x) => x.sqrt()],
  ['exp x', (x) => x.exp()],
  ['log x', (x) => x.log()],
  ['x = y', (x, y) => where(x.equal(y), 1, 0)],
  ['x < y', (x, y) => where(x.less(y), 1, 0)],
  ['x ≤ y', (x, y) => where(x.lessOrEqual(y), 1, 0)],
  ['x > y', (x, y) => where(x.greater(y), 1, 0)],
  ['x ≥ y', (x, y) => where(x.greaterOrEqual(y), 1, 0)],
  ['x where x < 1, otherwise y', (x, y) => where(x.less(1), x, y)],
  ['y where x < 1, otherwise x', (x, y) => where(x.less(1), y, x)],
  ['x where a constant holds', (x, y) => where(y.equal(y), x, 0)],
  ['x · 0.1 + 1/3', (x) => x.mul(0.1).add(1 / 3)],
  ['2 − x', (x) => scalar(2).sub(x)],
  ['1 / x', (x) => scalar(1).div(x)],
  ['bfloat16', (x) => cast(x, bfloat16)],
  ['float16', (x) => cast(x, float16)],
];

const whole = (x: Tensor): Tensor => asParam(broadcast(x, ['rows', 'cols']));
const along = (reduce: typeof sum, over: 'rows' | 'cols'): Form => {
  return (x, y) => whole(reduce(asMatrix(x).sub(asMatrix(y)), over));
};
const one = scalar(1);
/** Of full rank, with eigenvalues apart from each other. */
const regular = (x: Tensor): Tensor =>
  asMatrix(x).add(where(rowIndex().equal(colIndex()), rowIndex().mul(rowIndex()).add(9), 0));

/** [rows, cols] by way of values that are as long as a rank. */
const throughRank = (x: Tensor, y: Tensor): Tensor => {
  const leading = leadingColumns(matMul(transpose(asMatrix(x)), asMatrix(y)), 'rank 2');
  const changed = leading.mul(rankIndex('rank 2').add(1)).add(sum(leading, 'rows')).sub(mean(leading, 'cols'));
  return asParam(matMul(asMatrix(y), matMul(changed, transpose(leading))));
};

/** Everything that looks at more than one element. */
export const matrixForms: readonly (readonly [name: string, form: Form])[] = [
  ['Σ(x · y)', (x, y) => sum(x.mul(y))],
  ['mean(x · y)', (x, y) => mean(x.mul(y))],
  ['‖x − y‖', (x, y) => norm(x.sub(y))],
  ['largest', (x, y) => x.mul(largest(y.mul(x)))],
  ['numbers of all elements against elements', (x, y) => x.mul(sum(y)).sub(norm(x)).max(mean(y))],
  ['Σ over rows', along(sum, 'rows')],
  ['Σ over columns', along(sum, 'cols')],
  ['mean over rows', along(mean, 'rows')],
  ['mean over columns', along(mean, 'cols')],
  ['‖·‖ over rows', along(norm, 'rows')],
  ['‖·‖ over columns', along(norm, 'cols')],
  ['largest over rows', along(largest, 'rows')],
  ['largest over columns', along(largest, 'cols')],
  ['x yᵀ x', (x, y) => asParam(matMul(matMul(asMatrix(x), transpose(asMatrix(y))), asMatrix(x)))],
  ['x (yᵀ x)', (x, y) => asParam(matMul(asMatrix(x), matMul(transpose(asMatrix(y)), asMatrix(x))))],
  ['orthonormal columns', (x) => asParam(orthonormal(regular(x)))],
  ['eigenvectors', (x) => asParam(matMul(eigenvectors(matMul(regular(x), transpose(regular(x)))), asMatrix(x)))],
  ['values of a rank', throughRank],
  ['rows against columns', (x, y) => asParam(sum(asMatrix(x), 'cols').mul(sum(asMatrix(y), 'rows')))],
  ['indices', (x, y) => asParam(asMatrix(x).mul(rowIndex()).add(asMatrix(y).mul(colIndex())))],
  ['uniform noise', (x, y) => x.add(random('uniform', { seed: one, key: one, step: one }).mul(y))],
  ['normal noise', (x, y) => x.add(random('normal', { seed: one, key: one, step: one }, 3).mul(y))],
];
