import type { FloatArray, TensorData } from '@adakit/core';
import { Tensor } from 'onnxruntime-node';

/** The runtime's tensor over these elements, which are not copied. */
export function ortTensor(data: FloatArray, shape: readonly number[]): Tensor {
  return data instanceof Float32Array ? new Tensor('float32', data, shape) : new Tensor('float64', data, shape);
}

/** The elements of a float tensor, not copied. */
export function elements(tensor: Tensor): FloatArray {
  return tensor.data as FloatArray;
}

/** A tensor of ours over the runtime's memory. */
export function fromOrt(tensor: Tensor): TensorData {
  return tensorOf(elements(tensor), tensor.dims);
}

/** A tensor of ours over these elements, which are not copied. */
export function tensorOf(data: FloatArray, shape: readonly number[]): TensorData {
  return data instanceof Float32Array ? { dtype: 'float32', shape, data } : { dtype: 'float64', shape, data };
}

/** The number in a tensor of one element. */
export function numberOf(tensor: Tensor): number {
  return elements(tensor)[0];
}
