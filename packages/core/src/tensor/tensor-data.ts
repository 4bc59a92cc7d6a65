import { AdakitError } from '../errors.js';

/** Element types of tensors in memory. */
export interface TypedArrays {
  float32: Float32Array;
  float64: Float64Array;
}

/** Element type of a tensor outside any runtime. */
export type DType = keyof TypedArrays;

/** Elements of a buffer in either precision. */
export type FloatArray = Float32Array | Float64Array;

/** Typed arrays that tensors of models and of data may hold. */
export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** `float64` is the reference; `float32` rounds after every operation, as a device does. */
export type Precision = 'float32' | 'float64';

/** A dense tensor outside any runtime: row-major elements and a shape (`[]` is one number). */
export interface TensorData<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: TypedArrays[D];
}

/** Tensors by name. */
export type NamedTensors = Readonly<Record<string, TensorData>>;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * A float32 tensor over `data` (not copied).
 *
 * @param shape defaults to one dimension
 */
export function tensor32(data: Float32Array | readonly number[], shape?: readonly number[]): TensorData<'float32'> {
  return checked({
    dtype: 'float32',
    shape: shape ?? [data.length],
    data: data instanceof Float32Array ? data : Float32Array.from(data),
  });
}

/** A float64 tensor over `data` (not copied). */
export function tensor64(data: Float64Array | readonly number[], shape?: readonly number[]): TensorData<'float64'> {
  return checked({
    dtype: 'float64',
    shape: shape ?? [data.length],
    data: data instanceof Float64Array ? data : Float64Array.from(data),
  });
}

/** A tensor of `shape` filled with one value. */
export function filled(dtype: DType, shape: readonly number[], value: number): TensorData {
  const length = elementCount(shape);
  return dtype === 'float32'
    ? { dtype, shape, data: new Float32Array(length).fill(value) }
    : { dtype, shape, data: new Float64Array(length).fill(value) };
}

/** The same values as another dtype; a copy. Narrowing rounds to nearest. */
export function castTensor(tensor: TensorData, dtype: DType): TensorData {
  // Constructors copy a typed array at the speed of memory; `from` goes element by element.
  const data = dtype === 'float32' ? new Float32Array(tensor.data) : new Float64Array(tensor.data);
  return { dtype, shape: tensor.shape, data };
}

/** A copy that shares no memory. */
export function copyTensor(tensor: TensorData): TensorData {
  return castTensor(tensor, tensor.dtype);
}

/** Whether two shapes have the same rank and the same sizes. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function checked<T extends TensorData>(tensor: T): T {
  if (tensor.data.length !== elementCount(tensor.shape)) {
    throw new AdakitError(
      'invalid-state',
      `a tensor of shape [${tensor.shape.join(', ')}] needs ${elementCount(tensor.shape)} elements, got ${tensor.data.length}`,
    );
  }
  return tensor;
}
