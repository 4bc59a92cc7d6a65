import type { FloatArray, TensorData } from './tensor-data.js';

/** A tensor over elements, which tell their type. */
export function tensorOf(data: FloatArray, shape: readonly number[]): TensorData {
  return data instanceof Float32Array ? { dtype: 'float32', shape, data } : { dtype: 'float64', shape, data };
}
