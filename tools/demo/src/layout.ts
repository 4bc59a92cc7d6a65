import { inverseMappings, type ParameterMapping } from '@adakit/state';

/**
 * How the parameters of the TensorFlow.js network correspond to those of the ONNX file. Kernels of convolutions are
 * (height, width, in, out) there and (out, in, height, width) here. The dense layer there sees the 6×6 feature maps
 * flattened as (height, width, channel), here as (channel, height, width), and its kernel is transposed besides.
 */
export const tfjsToOnnx: readonly ParameterMapping[] = [
  { from: 'conv1/kernel', to: 'conv1.weight', permute: [3, 2, 0, 1] },
  { from: 'conv1/bias', to: 'conv1.bias' },
  { from: 'conv2/kernel', to: 'conv2.weight', permute: [3, 2, 0, 1] },
  { from: 'conv2/bias', to: 'conv2.bias' },
  { from: 'fc/kernel', to: 'fc.weight', view: [6, 6, 32, 10], permute: [3, 2, 0, 1], shape: [10, 1152] },
  { from: 'fc/bias', to: 'fc.bias' },
];

/** Shapes of the TensorFlow.js network's parameters. */
export const tfjsShapes: Readonly<Record<string, readonly number[]>> = {
  'conv1/kernel': [5, 5, 1, 8],
  'conv1/bias': [8],
  'conv2/kernel': [3, 3, 8, 32],
  'conv2/bias': [32],
  'fc/kernel': [1152, 10],
  'fc/bias': [10],
};

/** The way back. */
export const onnxToTfjs: readonly ParameterMapping[] = inverseMappings(tfjsToOnnx, tfjsShapes);
