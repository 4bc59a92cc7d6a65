import {
  backend_util,
  conv2d,
  Conv2DBackpropFilter,
  getKernelsForBackend,
  registerKernel,
  slice,
  tidy,
  transpose,
  type Conv2DBackpropFilterAttrs,
  type Tensor4D,
  type TensorInfo,
} from '@tensorflow/tfjs-core';

/**
 * Gives the wasm backend of TensorFlow.js the one kernel that it lacks for training convolutional networks, the gradient
 * of conv2d with respect to its filter; its pure JavaScript backend, which has it, takes a hundred times longer.
 * Does nothing if the kernel is there.
 */
export function registerWasmFilterGradient(): void {
  const backendName = 'wasm';
  if (getKernelsForBackend(backendName).some((kernel) => kernel.kernelName === Conv2DBackpropFilter)) return;
  registerKernel({
    kernelName: Conv2DBackpropFilter,
    backendName,
    kernelFunc: ({ inputs, attrs }) =>
      filterGradient(inputs.x as Tensor4D, inputs.dy as Tensor4D, attrs as unknown as Conv2DBackpropFilterAttrs),
  });
}

/**
 * The gradient is itself a convolution. With stride s and padding p,
 *
 * ```text
 * ∂W[i, j, c, f] = Σ X[n, s·y + i − p, s·x + j − p, c] · ∂Y[n, y, x, f] over n, y, x,
 * ```
 *
 * so X with batch and channels exchanged is convolved by the "filter" ∂Y, dilated by s.
 */
function filterGradient(x: Tensor4D, dy: Tensor4D, attributes: Conv2DBackpropFilterAttrs): TensorInfo {
  const { strides, pad, dimRoundingMode, dataFormat, filterShape } = attributes;
  const { padInfo, strideHeight, strideWidth } = backend_util.computeConv2DInfo(
    x.shape,
    filterShape,
    strides,
    1,
    pad,
    dimRoundingMode,
    false,
    dataFormat === 'NHWC' ? 'channelsLast' : 'channelsFirst',
  );
  if (dataFormat !== 'NHWC') throw new Error(`the wasm backend convolves NHWC only, not ${dataFormat}`);
  return tidy(() => {
    const result = conv2d(
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
    return slice(transpose(result, [1, 2, 0, 3]), [0, 0, 0, 0], filterShape);
  });
}
