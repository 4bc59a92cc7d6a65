import { backend_util, type DepthwiseConv2dNativeAttrs } from '@tensorflow/tfjs-core';

type Shape = [number, number, number, number];

/**
 * Sizes, strides and paddings of a depthwise convolution of NHWC images.
 *
 * @throws Error for a dilated one, which TensorFlow.js itself refuses to differentiate
 */
export function depthwiseGeometry(
  input: Shape,
  filter: Shape,
  attributes: Pick<DepthwiseConv2dNativeAttrs, 'strides' | 'pad' | 'dilations' | 'dimRoundingMode'>,
): backend_util.Conv2DInfo {
  const { strides, pad, dilations, dimRoundingMode } = attributes;
  const info = backend_util.computeConv2DInfo(input, filter, strides, dilations, pad, dimRoundingMode, true);
  if (info.dilationHeight !== 1 || info.dilationWidth !== 1) {
    throw new Error(
      `the gradient of a depthwise convolution with dilations ${info.dilationHeight}x${info.dilationWidth} ` +
        'is not supported; only 1x1 is',
    );
  }
  return info;
}
