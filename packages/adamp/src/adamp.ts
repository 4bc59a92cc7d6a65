import {
  asMatrix,
  asParam,
  biasCorrection,
  coefficient,
  decayRate,
  defineOptimizer,
  largest,
  learningRate,
  meanOfGradient,
  meanOfSquare,
  movingAverage,
  norm,
  positive,
  scalar,
  sum,
  where,
  type Scalar,
  type Tensor,
} from '@adakit/core';

/**
 * AdamP: Adam without the part of a step along weights whose length does not matter (Heo et al. 2021, algorithm 2; options
 * as in the authors' code).
 *
 * ```text
 * m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
 * u = m/c₁ / (√v/√c₂ + ε)          cᵢ = 1 − βᵢᵗ
 * of matrices, if max |cos(w, ∇w)| < δ/√(size of w), where w is every output's weights, or else the whole:
 *   u ← u − ŵ(ŵ·u) with ŵ = w/(‖w‖ + ε)          λ ← ρλ
 * θ ← θ(1 − ηλ) − ηu
 * ```
 *
 * Defaults: `lr` 1e-3, `beta1` 0.9, `beta2` 0.999, `eps` 1e-8, `weightDecay` 0 (decoupled), `delta` δ 0.1, `wdRatio` ρ 0.1.
 */
export const adamp = defineOptimizer({
  name: 'adamp',
  hyperparameters: {
    lr: learningRate(1e-3),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: positive(1e-8, { because: 'weights of length zero are divided by it' }),
    weightDecay: coefficient(0),
    delta: coefficient(0.1),
    wdRatio: coefficient(0.1),
  },
  slots: () => [meanOfGradient(), meanOfSquare()],

  update({ param, grad, slots, hyper, uses, step, matrix, units, rows, cols, size }) {
    const { lr, beta1, beta2, eps, weightDecay, delta, wdRatio } = hyper;
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const root = expAvgSq.sqrt().div(biasCorrection(beta2, step).sqrt()).add(eps);
    let update = expAvg.div(root).div(biasCorrection(beta1, step));
    let ratio: Scalar | Tensor = scalar(1);
    if (matrix) {
      const [w, g, u] = [asMatrix(param), asMatrix(grad), asMatrix(update)];
      const byOutput = radial(w, g, u, eps, units === 'rows' ? 'cols' : 'rows');
      const whole = radial(w, g, u, eps);
      const outputs = largest(byOutput.cosine).less(delta.div((units === 'rows' ? cols : rows).sqrt()));
      const all = whole.cosine.less(delta.div(size.sqrt()));
      update = asParam(where(outputs, byOutput.rest, where(all, whole.rest, u)));
      ratio = where(outputs, wdRatio, where(all, wdRatio, 1));
    }
    const theta = uses.weightDecay ? param.mul(scalar(1).sub(ratio.mul(lr.mul(weightDecay)))) : param;
    return { param: theta.sub(update.mul(lr)), slots: { expAvg, expAvgSq } };
  },
});

/** |cos(w, g)|, and what is left of u without its part along w; of everything, or along an axis. */
function radial(w: Tensor, g: Tensor, u: Tensor, eps: Scalar, over?: 'rows' | 'cols') {
  const total = (x: Tensor): Tensor => (over === undefined ? sum(x) : sum(x, over));
  const length = over === undefined ? norm(w) : norm(w, over);
  const slope = over === undefined ? norm(g) : norm(g, over);
  const cosine = total(w.mul(g))
    .div(length.max(eps).mul(slope.max(eps)))
    .abs();
  const direction = w.div(length.add(eps));
  return { cosine, rest: u.sub(direction.mul(total(direction.mul(u)))) };
}
