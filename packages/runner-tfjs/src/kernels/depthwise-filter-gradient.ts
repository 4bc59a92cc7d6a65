import {
  DepthwiseConv2dNativeBackpropFilter,
  depthwiseConv2d,
  reshape,
  slice,
  sum,
  tidy,
  transpose,
  type DepthwiseConv2dNativeBackpropFilterAttrs,
  type Rank,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import { depthwiseGeometry } from './depthwise-geometry.js';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * The gradient of a depthwise convolution with respect to its filter [kh, kw, C, M]. It is itself a depthwise
 * convolution: with stride s and padding p,
 *
 * ```text
 * ∂W[i, j, c, m] = Σ X[n, s·y + i − p, s·x + j − p, c] · ∂Y[n, y, x, c·M + m] over n, y, x,
 * ```
 *
 * so X as one image of N·C channels is convolved by the "filter" ∂Y, dilated by s, and the result summed over n.
 */
export const depthwiseFilterGradient: WasmKernel<
  DepthwiseConv2dNativeBackpropFilterAttrs,
  { x: Tensor4D; dy: Tensor4D }
> = {
  name: DepthwiseConv2dNativeBackpropFilter,
  compute: ({ x, dy }, { filterShape, ...rest }) => {
    const { padInfo, strideHeight, strideWidth, ...sizes } = depthwiseGeometry(x.shape, filterShape, rest);
    const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth } = sizes;
    const [filterHeight, filterWidth, , multiplier] = filterShape;
    return tidy(() => {
      const gradient = depthwiseConv2d(
        reshape<Rank.R4>(transpose(x, [1, 2, 0, 3]), [1, inHeight, inWidth, batchSize * inChannels]),
        reshape<Rank.R4>(transpose(dy, [1, 2, 0, 3]), [outHeight, outWidth, batchSize * inChannels, multiplier]),
        1,
        [
          [0, 0],
          [padInfo.top, padInfo.bottom],
          [padInfo.left, padInfo.right],
          [0, 0],
        ],
        'NHWC',
        [strideHeight, strideWidth],
      );
      // Rows and columns that a stride leaves over at the edge belong to no tap.
      const taps = slice(gradient, [0, 0, 0, 0], [1, filterHeight, filterWidth, -1]);
      return sum(reshape(taps, [filterHeight, filterWidth, batchSize, inChannels, multiplier]), 2);
    });
  },
};
