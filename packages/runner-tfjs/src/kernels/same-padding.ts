import {
  backend_util,
  Conv2D,
  DepthwiseConv2dNative,
  engine,
  FusedConv2D,
  FusedDepthwiseConv2D,
  ones,
  type Conv2DAttrs,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * Convolutions with 'same' padding. Where strides longer than the filter leave rows or columns over at the edge, the
 * backend's own (4.22) gives zeros, but not if it gets that padding as numbers.
 */
export const samePaddedConvolutions: readonly WasmKernel[] = [
  withPaddingAsNumbers(Conv2D, false),
  withPaddingAsNumbers(FusedConv2D, false),
  withPaddingAsNumbers(DepthwiseConv2dNative, true),
  withPaddingAsNumbers(FusedDepthwiseConv2D, true),
];

function withPaddingAsNumbers(
  name: string,
  depthwise: boolean,
): WasmKernel<Conv2DAttrs, { x: Tensor4D; filter: Tensor4D }> {
  return {
    name,
    compute: (inputs, attributes, original) => {
      if (original === undefined) throw new Error(`the wasm backend of TensorFlow.js has no kernel ${name}`);
      const { pad, strides, dilations, dataFormat } = attributes;
      if (pad !== 'same' || dataFormat !== 'NHWC') return original(inputs, { ...attributes });
      const { x, filter } = inputs;
      const { padInfo } = backend_util.computeConv2DInfo(
        x.shape,
        filter.shape,
        strides,
        dilations,
        pad,
        undefined,
        depthwise,
      );
      const { top, bottom, left, right } = padInfo;
      return original(inputs, { ...attributes, pad: [[0, 0], [top, bottom], [left, right], [0, 0]] }); // prettier-ignore
    },
    isRight: () => {
      const inputs = { x: ones([1, 9, 9, 1]), filter: ones([2, 2, 1, 1]) };
      const attributes = { strides: 3, pad: 'same', dilations: 1, dataFormat: 'NHWC', activation: 'linear' };
      const result: Tensor = engine().runKernel(name, inputs, attributes);
      return result.dataSync().every((value) => value === 4);
    },
  };
}
