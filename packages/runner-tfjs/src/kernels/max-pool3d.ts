import {
  backend_util,
  engine,
  maxPool,
  MaxPool3D,
  reshape,
  tensor,
  tidy,
  type MaxPool3DAttrs,
  type Rank,
  type Tensor,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * Max pooling of volumes [n, d, h, w, c]: in the plane first, then along the depth. The backend's own (4.22) gives no
 * maximum below zero.
 */
export const maxPool3d: WasmKernel<MaxPool3DAttrs, { x: Tensor5D }> = {
  name: MaxPool3D,
  compute: ({ x }, { filterSize, strides, pad, dimRoundingMode }) => {
    const info = backend_util.computePool3DInfo(x.shape, filterSize, strides, 1, pad, dimRoundingMode);
    const { batchSize, inDepth, inHeight, inWidth, inChannels, outHeight, outWidth, padInfo } = info;
    return tidy(() => {
      const planes = maxPool(
        reshape<Rank.R4>(x, [batchSize * inDepth, inHeight, inWidth, inChannels]),
        [info.filterHeight, info.filterWidth],
        [info.strideHeight, info.strideWidth],
        [
          [0, 0],
          [padInfo.top, padInfo.bottom],
          [padInfo.left, padInfo.right],
          [0, 0],
        ],
      );
      const pooled = maxPool(
        reshape<Rank.R4>(planes, [batchSize, inDepth, outHeight * outWidth, inChannels]),
        [info.filterDepth, 1],
        [info.strideDepth, 1],
        [
          [0, 0],
          [padInfo.front, padInfo.back],
          [0, 0],
          [0, 0],
        ],
      );
      return reshape(pooled, info.outShape);
    });
  },
  isRight: () => {
    const x = tensor([-1], [1, 1, 1, 1, 1]);
    const pooled: Tensor = engine().runKernel(MaxPool3D, { x }, { filterSize: 1, strides: 1, pad: 'valid' });
    return pooled.dataSync()[0] === -1;
  },
};
