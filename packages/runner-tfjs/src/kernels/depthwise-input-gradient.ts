import {
  DepthwiseConv2dNativeBackpropInput,
  depthwiseConv2d,
  reshape,
  reverse,
  sum,
  tidy,
  type DepthwiseConv2dNativeBackpropInputAttrs,
  type Rank,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import { depthwiseGeometry } from './depthwise-geometry.js';
import type { WasmKernel } from './wasm-kernel.js';
import { window, withZerosBetween } from './zero-spacing.js';

/**
 * The gradient of a depthwise convolution with respect to its input [n, h, w, C]. With Z, which is ∂Y with s − 1 zeros
 * between its rows and its columns, and the filter W [kh, kw, C, M],
 *
 * ```text
 * ∂X[n, h, w, c] = Σ W[kh−1−i, kw−1−j, c, m] · Z[n, h + i − (kh−1−p), w + j − (kw−1−p), c·M + m] over i, j, m,
 * ```
 *
 * a depthwise convolution of C·M channels, summed over m.
 */
export const depthwiseInputGradient: WasmKernel<
  DepthwiseConv2dNativeBackpropInputAttrs,
  { dy: Tensor4D; filter: Tensor4D }
> = {
  name: DepthwiseConv2dNativeBackpropInput,
  compute: ({ dy, filter }, { inputShape, ...rest }) => {
    const [filterHeight, filterWidth, , multiplier] = filter.shape;
    const geometry = depthwiseGeometry(inputShape, filter.shape, rest);
    const { batchSize, inHeight, inWidth, inChannels, outChannels, padInfo, strideHeight, strideWidth } = geometry;
    return tidy(() => {
      const spread = withZerosBetween(dy, [strideHeight, strideWidth]);
      const padded = window(
        spread,
        [padInfo.top - filterHeight + 1, padInfo.left - filterWidth + 1],
        [inHeight + filterHeight - 1, inWidth + filterWidth - 1],
      );
      const flipped = reshape<Rank.R4>(reverse(filter, [0, 1]), [filterHeight, filterWidth, outChannels, 1]);
      const products = depthwiseConv2d(padded, flipped, 1, 'valid');
      return multiplier === 1
        ? products
        : sum(reshape(products, [batchSize, inHeight, inWidth, inChannels, multiplier]), 4);
    });
  },
};
