import {
  backend_util,
  conv2d,
  Conv2DBackpropFilter,
  slice,
  tidy,
  transpose,
  type Conv2DBackpropFilterAttrs,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * The gradient of conv2d with respect to its filter. It is itself a convolution: with stride s and padding p,
 *
 * ```text
 * ∂W[i, j, c, f] = Σ X[n, s·y + i − p, s·x + j − p, c] · ∂Y[n, y, x, f] over n, y, x,
 * ```
 *
 * so X with batch and channels exchanged is convolved by the "filter" ∂Y, dilated by s.
 */
export const conv2dFilterGradient: WasmKernel<Conv2DBackpropFilterAttrs, { x: Tensor4D; dy: Tensor4D }> = {
  name: Conv2DBackpropFilter,
  compute: ({ x, dy }, { strides, pad, dimRoundingMode, dataFormat, filterShape }) => {
    if (dataFormat !== 'NHWC') {
      throw new Error(`${Conv2DBackpropFilter}: the wasm backend convolves NHWC only, not ${dataFormat}; transpose`);
    }
    const { padInfo, strideHeight, strideWidth } = backend_util.computeConv2DInfo(
      x.shape,
      filterShape,
      strides,
      1,
      pad,
      dimRoundingMode,
    );
    return tidy(() => {
      const gradient = conv2d(
        transpose(x, [3, 1, 2, 0]),
        transpose(dy, [1, 2, 0, 3]),
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
      return slice(transpose(gradient, [1, 2, 0, 3]), [0, 0, 0, 0], filterShape);
    });
  },
};
