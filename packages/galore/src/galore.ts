import {
  asMatrix,
  asParam,
  coefficient,
  correctedRate,
  count,
  decayRate,
  defineOptimizer,
  eigenvectors,
  epsilon,
  leadingColumns,
  learningRate,
  matMul,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  oneMinus,
  positive,
  rank,
  transpose,
  where,
  type ParameterForm,
} from '@adakit/core';

/**
 * GaLore (Zhao et al. 2024, algorithms 1 and 2; order, epsilon and defaults as in the authors' `GaLoreAdamW` with projection
 * `std`): Adam on the gradient in a subspace of few dimensions, which is chosen anew every so many steps.
 *
 * ```text
 * P ← the first r right singular vectors of G every `every` steps, from the first one on; of Gᵀ where G has more columns
 * R = GP          m ← β₁m + (1 − β₁)R          v ← β₂v + (1 − β₂)R²
 * θ ← θ − η(√c₂/c₁)α · m/(√v + ε) · Pᵀ          cᵢ = 1 − βᵢᵗ
 * θ ← θ(1 − ηλ)
 * ```
 *
 * Singular vectors are eigenvectors of GᵀG, the product of the shorter side. Moments stay in the coordinates of the subspace
 * before where it changes, as the authors' do. Vectors have no subspace and are AdamW's, without α. Tensors with more than
 * two axes are seen as `[first axis, the rest]`. A square matrix is projected along its layer's inputs.
 *
 * A matrix keeps r(2·longer + shorter side) numbers. Eigenvectors of the shorter side are slow above some hundreds: give
 * large embeddings another optimizer by `groups()`.
 *
 * Defaults: `lr` 1e-3, `rank` 128 (r, at most the shorter side; fixed when the optimizer is made), `every` 200, `scale` 0.25
 * (α), `beta1` 0.9, `beta2` 0.999, `eps` 1e-6, `weightDecay` 0 (decoupled).
 */
export const galore = defineOptimizer({
  name: 'galore',
  hyperparameters: {
    lr: learningRate(1e-3),
    rank: rank(128),
    every: count(200),
    scale: positive(0.25),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-6),
    weightDecay: coefficient(0),
  },
  slots(uses, form) {
    if (!form.matrix) return [meanOfGradient(), meanOfSquare()];
    const { shorter, longer } = sides(form);
    const r = `rank ${uses.rank}` as const;
    return [
      { name: 'expAvg', shape: [longer, r], meaning: { of: 'mean(projected grad)', decay: 'beta1' } },
      { name: 'expAvgSq', shape: [longer, r], meaning: { of: 'mean(projected grad^2)', decay: 'beta2' } },
      { name: 'projector', shape: [shorter, r], meaning: { of: 'leading singular vectors of grad' } },
    ];
  },

  update({ param, grad, slots, hyper, uses, step, ...form }) {
    const { lr, every, scale, beta1, beta2, eps, weightDecay } = hyper;
    const rate = correctedRate(hyper, step);
    const adam = (g: typeof grad) => {
      const expAvg = movingAverage(slots.expAvg, g, beta1);
      const expAvgSq = movingAverage(slots.expAvgSq, g.square(), beta2);
      return { moments: { expAvg, expAvgSq }, direction: expAvg.div(expAvgSq.sqrt().add(eps)) };
    };
    const moved = (direction: typeof grad) => {
      const theta = param.sub(direction.mul(rate));
      return uses.weightDecay ? theta.mul(oneMinus(lr.mul(weightDecay))) : theta;
    };
    if (!form.matrix) {
      const { moments, direction } = adam(grad);
      return { param: moved(direction), slots: moments };
    }
    // Both ways: columns are the shorter side.
    const turned = (x: typeof grad) => (sides(form).shorter === 'cols' ? x : transpose(x));
    const g = turned(asMatrix(grad));
    const due = step.sub(1).mod(every).equal(0);
    const singular = leadingColumns(eigenvectors(matMul(transpose(g), g)), `rank ${uses.rank}`);
    const projector = where(due, singular, slots.projector);
    const { moments, direction } = adam(matMul(g, projector));
    const whole = asParam(turned(matMul(direction, transpose(projector))));
    return { param: moved(whole.mul(scale)), slots: { ...moments, projector } };
  },
});

/** Where outputs are as many as inputs, these count as the shorter side, whatever the layout. */
function sides({ units, wide, tall }: Pick<ParameterForm, 'units' | 'wide' | 'tall'>) {
  const isTall = units === 'rows' ? tall : !wide;
  return isTall ? ({ longer: 'rows', shorter: 'cols' } as const) : ({ longer: 'cols', shorter: 'rows' } as const);
}
