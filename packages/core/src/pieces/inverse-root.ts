import { matMul, norm, scalar, type Tensor } from '../expression/expression.js';

/**
 * A^(−1/4) of a symmetric positive definite matrix, by a coupled Newton iteration (Guo & Higham 2006; Anil et al. 2020,
 * algorithm I), which needs products alone: from z = 5/(2‖A‖), M = zA, X = z^¼·I, repeat T = (5I − M)/4, X ← XT, M ← T⁴M. In
 * float32 a condition of A beyond about 1e6 costs digits.
 *
 * @param one the identity matrix of the same side
 */
export function inverseFourthRoot(a: Tensor, one: Tensor, steps: number): Tensor {
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
