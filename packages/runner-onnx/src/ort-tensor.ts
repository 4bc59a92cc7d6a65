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
  const data = elements(tensor);
  return data instanceof Float32Array
    ? { dtype: 'float32', shape: tensor.dims, data }
    : { dtype: 'float64', shape: tensor.dims, data };
}

/** The number in a tensor of one element. */
export function numberOf(tensor: Tensor): number {
  return elements(tensor)[0];
}
