import { oneMinus, type Scalar, type Tensor } from '../expression/expression.js';

/**
 * Weight decay λ in either form: coupled, g ← g + λθ (L2 regularization), or decoupled, θ ← θ(1 − ηλ) before the step
 * (Loshchilov & Hutter 2019). Costs nothing when `weightDecay` is off.
 *
 * @param rate η where it is a number of the device. Default: `lr`
 */
export function decay({
  param,
  grad,
  hyper,
  uses,
  rate,
}: {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly hyper: { readonly lr: Scalar; readonly weightDecay: Scalar };
  readonly uses: { readonly weightDecay: boolean; readonly weightDecouple?: boolean };
  readonly rate?: Tensor;
}): { readonly theta: Tensor; readonly g: Tensor } {
  const { lr, weightDecay } = hyper;
  if (!uses.weightDecay) return { theta: param, g: grad };
  if (!uses.weightDecouple) return { theta: param, g: grad.add(param.mul(weightDecay)) };
  // The host rounds 1 − ηλ in float64. A device would round away most of a small ηλ, for all elements alike.
  const theta = rate ? param.sub(param.mul(rate.mul(weightDecay))) : param.mul(oneMinus(lr.mul(weightDecay)));
  return { theta, g: grad };
}
