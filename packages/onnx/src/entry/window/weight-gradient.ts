import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { stack } from '../stack.js';
import { atOffsets, CHANNELS_FIRST } from './offsets.js';
import type { Channels, PlacedWindows } from './windows.js';

/** A convolution y = x ∗ w, as seen from the gradient of w. */
export interface WeightConvolution {
  /** [batch, groups·inputs, …spatial] */
  readonly x: Value;
  readonly channels: Channels;
  readonly windows: PlacedWindows;
  /** The cotangent of y, [batch, groups·outputs, …positions]. */
  readonly dy: Value;
}

/** A way to compute the cotangent of the weights, [groups·outputs, inputs, …kernel]. */
export type WeightGradient = (e: Emitter, convolution: WeightConvolution) => Value;

/**
 * For every offset in the kernel the product of dy with the elements of x that this offset of the windows meets, summed over
 * batch and positions: one product a sample, group and offset, [inputs, positions] · [positions, outputs].
 */
export const productsOfGroups: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const { groups, inputs, outputs } = channels;
  const cotangent = e.matrixTranspose(e.reshape(dy, [0, groups, outputs, -1]));
  const products = atOffsets(e, x, windows, CHANNELS_FIRST).map((part) =>
    e.reduceSum(e.matMul(e.reshape(part, [0, groups, inputs, -1]), cotangent), [0]),
  );
  return asWeights(e, convolution, e.transpose(stack(e, products, 1), [0, 3, 2, 1]));
};

/** The weights' shape for elements that are in their order already. */
export function asWeights(e: Emitter, { channels, windows }: WeightConvolution, x: Value): Value {
  return e.reshape(x, [channels.groups * channels.outputs, channels.inputs, ...windows.kernel]);
}
