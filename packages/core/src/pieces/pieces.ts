import type { SlotSource } from '../component/component.js';
import * as meanings from '../component/meanings.js';
import {
  matMul,
  norm,
  oneMinus,
  scalar,
  transpose,
  where,
  type Condition,
  type Scalar,
  type Tensor,
} from '../expression/expression.js';
import { biasCorrection } from './bias-correction.js';

/** Slots that many rules keep. The β is the name of the hyperparameter by which the average forgets. */

/** Moving average of the gradient. */
export const meanOfGradient = (beta = 'beta1') =>
  ({ name: 'expAvg', meaning: { of: meanings.meanOfGradient, decay: beta } }) as const satisfies SlotSource;
/** Moving average of the squared gradient. */
export const meanOfSquare = (beta = 'beta2') =>
  ({ name: 'expAvgSq', meaning: { of: meanings.meanOfSquare, decay: beta } }) as const satisfies SlotSource;
/** The largest that the average of the squared gradient has been (AMSGrad). Starting at zero, it is the next average. */
export const largestMeanOfSquare = (beta = 'beta2') =>
  ({
    name: 'maxExpAvgSq',
    meaning: { of: meanings.largestMeanOfSquare, decay: beta, joinsLate: true },
  }) as const satisfies SlotSource;

/** Moving average of the squared deviation from the average. */
export const meanOfDeviation = (beta = 'beta2') =>
  ({ name: 'expAvgVar', meaning: { of: meanings.meanOfDeviation, decay: beta } }) as const satisfies SlotSource;
/** The largest that it has been. Starting at zero, it is the next average. */
export const largestMeanOfDeviation = (beta = 'beta2') =>
  ({
    name: 'maxExpAvgVar',
    meaning: { of: meanings.largestMeanOfDeviation, decay: beta, joinsLate: true },
  }) as const satisfies SlotSource;

/**
 * RAdam's rectification term R (Liu et al. 2020, algorithm 2) and whether the variance is tractable, ρ ≥ 5:
 * ρ∞ = 2/(1 − β₂) − 1, ρ = ρ∞ − 2tβ₂ᵗ/c₂, R = √[(ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)].
 *
 * `choose` takes the first value where the variance is tractable, the second elsewhere.
 */
export function rectification(
  beta2: Scalar,
  step: Scalar,
): { readonly defined: Condition<'scalar'>; readonly factor: Scalar } {
  const c2 = biasCorrection(beta2, step);
  const rhoMax = scalar(2).div(oneMinus(beta2)).sub(1);
  const rho = rhoMax.sub(step.mul(2).mul(beta2.pow(step)).div(c2));
  const ratio = rho.sub(4).div(rhoMax.sub(4)).mul(rho.sub(2)).div(rho).mul(rhoMax).div(rhoMax.sub(2));
  return { defined: rho.greaterOrEqual(5), factor: ratio.sqrt() };
}

/**
 * The trust ratio of layer-wise rates, ‖θ‖ / ‖update‖ (You et al. 2020, LAMB), 1 where either norm is zero.
 */
export function trustRatio(param: Tensor, update: Tensor): Tensor {
  const [weights, length] = [norm(param), norm(update)];
  const ratio = weights.div(length);
  return where(weights.greater(0), where(length.greater(0), ratio, 1), 1);
}

/**
 * An orthogonal matrix near `matrix`, by a quintic Newton–Schulz iteration X ← aX + (bXXᵀ + c(XXᵀ)²)X from the normalized
 * matrix (Jordan et al. 2024). The smaller side takes the products.
 *
 * @param wide whether the matrix has at least as many columns as rows
 */
export function orthogonalized(
  matrix: Tensor,
  wide: boolean,
  {
    steps,
    eps,
    coefficients: [a, b, c],
  }: {
    readonly steps: number;
    readonly eps: number | Scalar;
    readonly coefficients: readonly [number | Scalar, number | Scalar, number | Scalar];
  },
): Tensor {
  let x = wide ? matrix : transpose(matrix);
  x = x.div(norm(x).max(eps));
  for (let i = 0; i < steps; i++) {
    const gram = matMul(x, transpose(x));
    x = x.mul(a).add(matMul(gram.mul(b).add(matMul(gram, gram).mul(c)), x));
  }
  return wide ? x : transpose(x);
}
