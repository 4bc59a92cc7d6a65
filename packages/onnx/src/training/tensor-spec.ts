import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';

/** A tensor that a graph takes or gives. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  /** Dimensions; text stands for one that is free, such as the batch. */
  readonly shape: readonly (number | string)[];
}

export function tensorSpec({ name, dtype, shape }: Value): TensorSpec {
  return {
    name,
    dtype: dtype ?? 'float32',
    shape: (shape ?? []).map((dim) => (typeof dim === 'number' ? dim : String(dim))),
  };
}
