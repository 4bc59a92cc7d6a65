import { oneMinus, type Scalar, type Tensor } from '../expression/expression.js';

/**
 * Weight decay λ in either form: coupled, g ← g + λθ (L2 regularization), or decoupled, θ ← θ(1 − ηλ) before the step
 * (Loshchilov & Hutter 2019). Costs nothing when `weightDecay` is off.
 */
export function decay({
  param,
  grad,
  hyper,
  uses,
}: {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly hyper: { readonly lr: Scalar; readonly weightDecay: Scalar };
  readonly uses: { readonly weightDecay: boolean; readonly weightDecouple?: boolean };
}): { readonly theta: Tensor; readonly g: Tensor } {
  if (!uses.weightDecay) return { theta: param, g: grad };
  // Rules need not have that flag, and what does not exist cannot be read of their inputs.
  const isDecoupled = 'weightDecouple' in uses && uses.weightDecouple;
  if (isDecoupled) return { theta: param.mul(oneMinus(hyper.lr.mul(hyper.weightDecay))), g: grad };
  return { theta: param, g: grad.add(param.mul(hyper.weightDecay)) };
}
