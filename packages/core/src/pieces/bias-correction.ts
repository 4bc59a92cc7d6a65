import { oneMinus, type Scalar } from '../expression/expression.js';

/** c = 1 − βᵗ: what the weights of a moving average add up to after t steps (Kingma & Ba 2015, §3). */
export const biasCorrection = (beta: Scalar, step: Scalar): Scalar => oneMinus(beta.pow(step));

/**
 * η√c₂/c₁: the learning rate with Adam's two corrections in it, so that the moments need none (Kingma & Ba 2015, §2). What is
 * added to √v then counts for more in the first steps than beside √(v/c₂).
 */
export const correctedRate = (
  { lr, beta1, beta2 }: { readonly lr: Scalar; readonly beta1: Scalar; readonly beta2: Scalar },
  step: Scalar,
): Scalar => lr.mul(biasCorrection(beta2, step).sqrt()).div(biasCorrection(beta1, step));
