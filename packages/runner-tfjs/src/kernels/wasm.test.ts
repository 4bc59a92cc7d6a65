import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendError } from '../backend.js';
import { registerWasmKernels } from './wasm.js';

const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
const own = tf.getKernelsForBackend('wasm');

beforeEach(async () => {
  await tf.setBackend('wasm');
  warn.mockClear();
});
afterEach(() => {
  expect(warn).not.toHaveBeenCalled();
  for (const { kernelName } of tf.getKernelsForBackend('wasm')) tf.unregisterKernel(kernelName, 'wasm');
  own.forEach(tf.registerKernel);
});

const names = (backend: string): string[] => tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName);

describe('registerWasmKernels', () => {
  it('registers what the wasm backend of TensorFlow.js 4.22 lacks or gets wrong', () => {
    expect(registerWasmKernels()).toEqual([
      'Conv2DBackpropFilter',
      'Conv3DBackpropFilterV2',
      'Conv3DBackpropInputV2',
      'DepthwiseConv2dNativeBackpropFilter',
      'DepthwiseConv2dNativeBackpropInput',
      'MaxPool3D',
      'MaxPoolGrad',
      'MaxPool3DGrad',
      'ResizeBilinearGrad',
      'ResizeNearestNeighborGrad',
      'Conv2D',
      'FusedConv2D',
      'DepthwiseConv2dNative',
      'FusedDepthwiseConv2D',
      'UnsortedSegmentSum',
    ]);
  });

  it('leaves nothing missing but complex numbers, Einsum and what has no gradient', () => {
    registerWasmKernels();
    const missing = names('cpu').filter((name) => !names('wasm').includes(name));
    const complex = ['Complex', 'ComplexAbs', 'FFT', 'IFFT', 'Imag', 'Real'];
    const withoutGradient = [
      'Draw',
      'Einsum',
      'RaggedGather',
      'RaggedRange',
      'RaggedTensorToTensor',
      'StaticRegexReplace',
    ];
    expect(missing.sort()).toEqual([...complex, ...withoutGradient].sort());
    for (const name of withoutGradient) expect(tf.getGradient(name)).toBeUndefined();
  });

  it('does nothing the second time', () => {
    registerWasmKernels();
    const before = tf.getKernelsForBackend('wasm').map(({ kernelFunc }) => kernelFunc);
    expect(registerWasmKernels()).toEqual([]);
    expect(tf.getKernelsForBackend('wasm').map(({ kernelFunc }) => kernelFunc)).toEqual(before);
  });

  it('leaves a kernel of the backend that is right', () => {
    registerWasmKernels();
    const right = { ...tf.getKernel('MaxPoolGrad', 'wasm') };
    for (const { kernelName } of tf.getKernelsForBackend('wasm')) tf.unregisterKernel(kernelName, 'wasm');
    own.forEach(tf.registerKernel);
    tf.unregisterKernel('MaxPoolGrad', 'wasm');
    tf.registerKernel(right);
    expect(registerWasmKernels()).not.toContain('MaxPoolGrad');
    expect(tf.getKernel('MaxPoolGrad', 'wasm')).toBe(right);
  });

  it('leaves no tensors behind', () => {
    const before = tf.memory().numTensors;
    registerWasmKernels();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says what to do when wasm is not the current backend', async () => {
    await tf.setBackend('cpu');
    expect(registerWasmKernels).toThrow(BackendError);
    expect(registerWasmKernels).toThrow(
      /is not the current one \(that is "cpu"\); import '@tensorflow\/tfjs-backend-wasm'/,
    );
    expect(names('wasm')).not.toContain('Conv2DBackpropFilter');
  });
});

describe('the segment sum of the wasm backend', () => {
  it('counts rows with an id out of range nowhere', async () => {
    registerWasmKernels();
    const x = tf.tensor2d([[1, 2], [3, 4], [5, 6], [7, 8]]); // prettier-ignore
    const sums = tf.unsortedSegmentSum(x, tf.tensor1d([1, -1, 3, 1], 'int32'), 3);
    expect(await sums.array()).toEqual([[0, 0], [8, 10], [0, 0]]); // prettier-ignore
  });

  it('of no rows is zero', async () => {
    registerWasmKernels();
    const sums = tf.unsortedSegmentSum(tf.zeros([0, 2]), tf.tensor1d([], 'int32'), 3);
    expect(await sums.array()).toEqual([[0, 0], [0, 0], [0, 0]]); // prettier-ignore
  });
});

it('the gradient of a dilated depthwise convolution is an error, not a wrong number', () => {
  registerWasmKernels();
  const [x, filter] = [tf.zeros([1, 5, 5, 1]), tf.zeros([2, 2, 1, 1])];
  const attributes = { strides: 1, pad: 'same', dilations: 2 };
  expect(() =>
    tf
      .engine()
      .runKernel('DepthwiseConv2dNativeBackpropFilter', { x, dy: x }, { ...attributes, filterShape: [2, 2, 1, 1] }),
  ).toThrow('the gradient of a depthwise convolution with dilations 2x2 is not supported; only 1x1 is');
  expect(() =>
    tf
      .engine()
      .runKernel('DepthwiseConv2dNativeBackpropInput', { dy: x, filter }, { ...attributes, inputShape: x.shape }),
  ).toThrow('dilations 2x2');
});

it('the gradient of a convolution of channels-first images is an error', () => {
  registerWasmKernels();
  const x = tf.zeros([1, 1, 5, 5]);
  const attributes = { strides: 1, pad: 'same', dataFormat: 'NCHW', filterShape: [2, 2, 1, 1] };
  expect(() => tf.engine().runKernel('Conv2DBackpropFilter', { x, dy: x }, attributes)).toThrow(
    'Conv2DBackpropFilter: the wasm backend convolves NHWC only, not NCHW; transpose',
  );
});
