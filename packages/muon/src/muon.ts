import {
  AdakitError,
  anyNumber,
  asMatrix,
  asParam,
  choice,
  coefficient,
  decay,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  meanings,
  movingAverage,
  orthogonalized,
  repeats,
  scalar,
  type Scalar,
} from '@adakit/core';

/**
 * Muon (Jordan et al. 2024; options as torch.optim.Muon): momentum whose singular values are all made about one by a
 * Newton–Schulz iteration. For matrices only; give vectors another optimizer by `groups()`.
 *
 * ```text
 * b ← μb + (1 − μ)g          d = (1 − μ)g + μb with nesterov, otherwise b
 * O = NewtonSchulz(d/‖d‖): X ← aX + (bXXᵀ + c(XXᵀ)²)X, `nsSteps` times
 * θ ← θ(1 − ηλ) − η·s·O
 * ```
 *
 * s adjusts the learning rate to the shape [A, B]: `original` √max(1, A/B), `matchRmsAdamw` 0.2·√max(A, B) (Liu et al.
 * 2025), so that AdamW's rates and decay can be kept, `spectralUnclamped` √(A/B). Tensors with more than two axes are seen as
 * `[first axis, the rest]`. The iteration is in float32; PyTorch's is in bfloat16.
 *
 * Defaults: `lr` 1e-3, `weightDecay` 0.1 (decoupled), `momentum` 0.95, `nesterov` true, `nsSteps` 5, `nsA` 3.4445, `nsB`
 * −4.775, `nsC` 2.0315, `eps` 1e-7, `adjustLr` original.
 */
export const muon = defineOptimizer({
  name: 'muon',
  hyperparameters: {
    lr: learningRate(1e-3),
    weightDecay: coefficient(0.1),
    momentum: decayRate(0.95),
    nesterov: flag(true),
    nsSteps: repeats(5),
    nsA: anyNumber(3.4445),
    nsB: anyNumber(-4.775),
    nsC: anyNumber(2.0315),
    eps: epsilon(1e-7),
    adjustLr: choice('original', 'matchRmsAdamw', 'spectralUnclamped', 'none'),
  },
  slots: () => [
    { name: 'momentumBuffer', meaning: { of: meanings.meanOfGradient, decay: 'momentum', joinsLate: true } },
  ],

  update({ param, grad, slots, hyper, uses, matrix, wide, rows, cols }) {
    if (!matrix) {
      throw new AdakitError(
        'invalid-plan',
        'muon is for matrices; give the other parameters an optimizer of their own: groups([{ match: matrices, optimizer: muon() }], adamw())',
      );
    }
    const { lr, momentum, eps, nsA, nsB, nsC } = hyper;
    const buffer = movingAverage(slots.momentumBuffer, grad, momentum);
    const direction = uses.nesterov ? movingAverage(buffer, grad, momentum) : buffer;
    const orthogonal = orthogonalized(asMatrix(direction), wide, {
      steps: uses.nsSteps,
      eps,
      coefficients: [nsA, nsB, nsC],
    });
    const { theta } = decay({ param, grad, hyper, uses: { weightDecay: uses.weightDecay, weightDecouple: true } });
    const rate = lr.mul(adjustment(uses.adjustLr, rows, cols));
    return { param: theta.sub(asParam(orthogonal).mul(rate)), slots: { momentumBuffer: buffer } };
  },
});

function adjustment(
  kind: 'original' | 'matchRmsAdamw' | 'spectralUnclamped' | 'none',
  rows: Scalar,
  cols: Scalar,
): Scalar {
  switch (kind) {
    case 'original':
      return rows.div(cols).max(1).sqrt();
    case 'matchRmsAdamw':
      return rows.max(cols).sqrt().mul(0.2);
    case 'spectralUnclamped':
      return rows.div(cols).sqrt();
    case 'none':
      return scalar(1);
  }
}
