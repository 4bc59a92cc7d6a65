import {
  addN,
  backend_util,
  Conv2DBackpropInput,
  Conv3DBackpropInputV2,
  engine,
  ones,
  reshape,
  tidy,
  unstack,
  type Conv3DBackpropInputV2Attrs,
  type Rank,
  type Tensor,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';
import { window, withZerosBetween } from './zero-spacing.js';

/**
 * The gradient of conv3d with respect to its input [n, d, h, w, C], and so conv3dTranspose. A 3-D convolution is the
 * sum, over the depths i of the filter, of 2-D convolutions of the slices s·z + i − p of the input, whose gradients are
 * added up here. The backend's own kernel (4.22) is wrong.
 */
export const conv3dInputGradient: WasmKernel<Conv3DBackpropInputV2Attrs, { dy: Tensor5D; filter: Tensor5D }> = {
  name: Conv3DBackpropInputV2,
  compute: ({ dy, filter }, { strides, pad, inputShape }) => {
    const info = backend_util.computeConv3DInfo(inputShape, filter.shape, strides, 1, pad);
    const { batchSize, inDepth, inHeight, inWidth, inChannels, outDepth, outHeight, outWidth, outChannels } = info;
    const { front, top, bottom, left, right } = info.padInfo;
    const imageSize = inHeight * inWidth * inChannels;
    return tidy(() => {
      const dy2d = reshape(dy, [batchSize * outDepth, outHeight, outWidth, outChannels]);
      const contributions = unstack(filter).map((filter2d, i) => {
        const slices: Tensor = engine().runKernel(
          Conv2DBackpropInput,
          { dy: dy2d, filter: filter2d },
          {
            strides: [info.strideHeight, info.strideWidth],
            pad: [
              [0, 0],
              [top, bottom],
              [left, right],
              [0, 0],
            ],
            dataFormat: 'NHWC',
            inputShape: [batchSize * outDepth, inHeight, inWidth, inChannels],
          },
        );
        // Slices as rows, each at the depth that it belongs to.
        const rows = reshape<Rank.R4>(slices, [batchSize, outDepth, 1, imageSize]);
        return window(withZerosBetween(rows, [info.strideDepth, 1]), [front - i, 0], [inDepth, 1]);
      });
      return reshape(addN(contributions), inputShape);
    });
  },
  isRight: () => {
    const dy = ones([1, 2, 2, 2, 1]);
    const attributes = { strides: 1, pad: 'valid', inputShape: dy.shape };
    const gradient: Tensor = engine().runKernel(
      Conv3DBackpropInputV2,
      { dy, filter: ones([1, 1, 1, 1, 1]) },
      attributes,
    );
    return gradient.dataSync().every((value) => value === 1);
  },
};
