import {
  backend_util,
  Conv2DBackpropFilter,
  Conv3DBackpropFilterV2,
  engine,
  ones,
  pad,
  reshape,
  stack,
  stridedSlice,
  tidy,
  type Conv3DBackpropFilterV2Attrs,
  type Tensor,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * The gradient of conv3d with respect to its filter [kd, kh, kw, C, F]. A 3-D convolution is the sum, over the depths i
 * of the filter, of 2-D convolutions of the slices s·z + i − p of X, whose filter gradients these are. The backend's own
 * kernel (4.22) is wrong.
 */
export const conv3dFilterGradient: WasmKernel<Conv3DBackpropFilterV2Attrs, { x: Tensor5D; dy: Tensor5D }> = {
  name: Conv3DBackpropFilterV2,
  compute: ({ x, dy }, { strides, pad: padding, filterShape }) => {
    const info = backend_util.computeConv3DInfo(x.shape, filterShape, strides, 1, padding);
    const { batchSize, inHeight, inWidth, inChannels, outDepth, outHeight, outWidth, outChannels, padInfo } = info;
    const { front, back, top, bottom, left, right } = padInfo;
    return tidy(() => {
      const padded = pad(x, [
        [0, 0],
        [front, back],
        [0, 0],
        [0, 0],
        [0, 0],
      ]);
      const dy2d = reshape(dy, [batchSize * outDepth, outHeight, outWidth, outChannels]);
      const gradients = Array.from({ length: info.filterDepth }, (_, i) => {
        const end = i + (outDepth - 1) * info.strideDepth + 1;
        const slices = stridedSlice(
          padded,
          [0, i, 0, 0, 0],
          [batchSize, end, inHeight, inWidth, inChannels],
          [1, info.strideDepth, 1, 1, 1],
        );
        const x2d = reshape(slices, [batchSize * outDepth, inHeight, inWidth, inChannels]);
        return engine().runKernel<Tensor>(
          Conv2DBackpropFilter,
          { x: x2d, dy: dy2d },
          {
            strides: [info.strideHeight, info.strideWidth],
            pad: [
              [0, 0],
              [top, bottom],
              [left, right],
              [0, 0],
            ],
            dataFormat: 'NHWC',
            filterShape: filterShape.slice(1),
          },
        );
      });
      return stack(gradients);
    });
  },
  isRight: () => {
    const image = ones([1, 2, 2, 2, 1]);
    const attributes = { strides: 2, pad: 'valid', filterShape: [2, 2, 2, 1, 1] };
    const gradient: Tensor = engine().runKernel(
      Conv3DBackpropFilterV2,
      { x: image, dy: ones([1, 1, 1, 1, 1]) },
      attributes,
    );
    return gradient.dataSync().every((value) => value === 1);
  },
};
