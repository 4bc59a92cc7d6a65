import {
  backend_util,
  engine,
  MaxPool3DGrad,
  MaxPoolGrad,
  tensor,
  type MaxPool3DGradAttrs,
  type MaxPoolGradAttrs,
  type Tensor,
  type Tensor4D,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * The gradient of 2-D max pooling with respect to its input [n, h, w, c]. The backend's own (4.22) gives the
 * gradient of a window without an element above zero to the first element, wherever the largest is.
 */
export const maxPoolGradient: WasmKernel<MaxPoolGradAttrs, { input: Tensor4D; dy: Tensor4D }> = {
  name: MaxPoolGrad,
  compute: ({ input, dy }, { filterSize, strides, pad, dimRoundingMode }) => {
    const info = backend_util.computePool2DInfo(input.shape, filterSize, strides, 1, pad, dimRoundingMode);
    const depth = { in: 1, out: 1, window: 1, stride: 1, before: 0 };
    return poolGradient(input, dy, { ...info, axes: [depth, heightOf(info), widthOf(info)] });
  },
  isRight: () => findsMaximumBelowZero(MaxPoolGrad, [1, 1, 2, 1]),
};

/**
 * The gradient of 3-D max pooling with respect to its input [n, d, h, w, c]; the backend's own fails as in 2-D. Of equal
 * elements the first gets the gradient, as in 2-D; on the cpu backend (4.22) the last does.
 */
export const maxPool3dGradient: WasmKernel<MaxPool3DGradAttrs, { input: Tensor5D; dy: Tensor5D }> = {
  name: MaxPool3DGrad,
  compute: ({ input, dy }, { filterSize, strides, pad, dimRoundingMode }) => {
    const info = backend_util.computePool3DInfo(input.shape, filterSize, strides, 1, pad, dimRoundingMode);
    return poolGradient(input, dy, { ...info, axes: [depthOf(info), heightOf(info), widthOf(info)] });
  },
  isRight: () => findsMaximumBelowZero(MaxPool3DGrad, [1, 1, 1, 2, 1]),
};

function findsMaximumBelowZero(name: string, shape: number[]): boolean {
  const input = tensor([-2, -1], shape);
  const inputs = { input, output: tensor([-1], shape.with(-2, 1)), dy: tensor([1], shape.with(-2, 1)) };
  const filterSize = shape.slice(1, -1);
  const gradient: Tensor = engine().runKernel(name, inputs, { filterSize, strides: 1, pad: 'valid' });
  return gradient.dataSync()[1] === 1;
}

/** One spatial axis: sizes of input, output and window, the window's stride, and the padding before the input. */
interface Axis {
  readonly in: number;
  readonly out: number;
  readonly window: number;
  readonly stride: number;
  readonly before: number;
}

type Pool2d = backend_util.Conv2DInfo;
type Pool3d = backend_util.Conv3DInfo;

function depthOf(info: Pool3d): Axis {
  const { inDepth, outDepth, filterDepth, strideDepth, padInfo } = info;
  return { in: inDepth, out: outDepth, window: filterDepth, stride: strideDepth, before: padInfo.front };
}

function heightOf(info: Pool2d | Pool3d): Axis {
  const { inHeight, outHeight, filterHeight, strideHeight, padInfo } = info;
  return { in: inHeight, out: outHeight, window: filterHeight, stride: strideHeight, before: padInfo.top };
}

function widthOf(info: Pool2d | Pool3d): Axis {
  const { inWidth, outWidth, filterWidth, strideWidth, padInfo } = info;
  return { in: inWidth, out: outWidth, window: filterWidth, stride: strideWidth, before: padInfo.left };
}

/** The part of an axis that a window covers: [begin, end). */
function covered({ in: size, window, stride, before }: Axis, position: number): [number, number] {
  const begin = position * stride - before;
  return [Math.max(0, begin), Math.min(size, begin + window)];
}

interface Pooling {
  readonly batchSize: number;
  readonly inChannels: number;
  /** Depth, height, width. */
  readonly axes: readonly [Axis, Axis, Axis];
}

/**
 * Adds the gradient of every window to the first of its largest elements. A loop on the host: the backend has no
 * operation that says where the maxima of 3-D windows are.
 */
function poolGradient(input: Tensor, dy: Tensor, { batchSize, inChannels, axes }: Pooling): Tensor {
  const x = engine().readSync(input.dataId) as Float32Array;
  const gradients = engine().readSync(dy.dataId) as Float32Array;
  const dx = new Float32Array(x.length);
  const [depth, height, width] = axes;
  let window = 0;
  for (let n = 0; n < batchSize; n++) {
    for (let d = 0; d < depth.out; d++) {
      const [dBegin, dEnd] = covered(depth, d);
      for (let h = 0; h < height.out; h++) {
        const [hBegin, hEnd] = covered(height, h);
        for (let w = 0; w < width.out; w++) {
          const [wBegin, wEnd] = covered(width, w);
          for (let c = 0; c < inChannels; c++, window++) {
            let largest = -Infinity;
            let at = -1;
            for (let i = dBegin; i < dEnd; i++) {
              for (let j = hBegin; j < hEnd; j++) {
                let index = (((n * depth.in + i) * height.in + j) * width.in + wBegin) * inChannels + c;
                for (let k = wBegin; k < wEnd; k++, index += inChannels) {
                  if (x[index] > largest) {
                    largest = x[index];
                    at = index;
                  }
                }
              }
            }
            if (at >= 0) dx[at] += gradients[window];
          }
        }
      }
    }
  }
  return tensor(dx, input.shape);
}
