import { AdakitError, kindOf, shown, type ErrorCode } from '../errors.js';

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
 * @throws AdakitError `invalid-state` for what is no list, and for elements that do not fill the shape
 */
export function tensor32(data: Float32Array | readonly number[], shape?: readonly number[]): TensorData<'float32'> {
  requireLists('tensor32', data, shape);
  return checked({
    dtype: 'float32',
    shape: shape ?? [data.length],
    data: data instanceof Float32Array ? data : Float32Array.from(data),
  });
}

/** A float64 tensor over `data` (not copied), as {@link tensor32}. */
export function tensor64(data: Float64Array | readonly number[], shape?: readonly number[]): TensorData<'float64'> {
  requireLists('tensor64', data, shape);
  return checked({
    dtype: 'float64',
    shape: shape ?? [data.length],
    data: data instanceof Float64Array ? data : Float64Array.from(data),
  });
}

/** A tensor of `shape` filled with one value. @throws AdakitError `invalid-state` for a shape that no array can have */
export function filled(dtype: DType, shape: readonly number[], value: number): TensorData {
  requireLists('filled', [], shape);
  requireDType('filled', dtype);
  const length = elementCount(shape);
  try {
    return dtype === 'float32'
      ? { dtype, shape, data: new Float32Array(length).fill(value) }
      : { dtype, shape, data: new Float64Array(length).fill(value) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const problem = `filled makes no tensor of shape [${shape.join(', ')}]: ${length} numbers are none that memory holds`;
    throw new AdakitError('invalid-state', problem, { cause: error });
  }
}

/** The same values as another dtype; a copy. Narrowing rounds to nearest. */
export function castTensor(tensor: TensorData, dtype: DType): TensorData {
  if (!isTensor(tensor)) throw noTensor('what is cast or copied', tensor);
  requireDType('castTensor', dtype);
  // Constructors copy a typed array at the speed of memory; `from` goes element by element.
  const data = dtype === 'float32' ? new Float32Array(tensor.data) : new Float64Array(tensor.data);
  return { dtype, shape: tensor.shape, data };
}

/** A copy that shares no memory. */
export function copyTensor(tensor: TensorData): TensorData {
  return castTensor(tensor, isTensor(tensor) ? tensor.dtype : 'float32');
}

/** Whether two shapes have the same rank and the same sizes. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** Whether something is a tensor, whose elements need not fill its shape. */
export function isTensor(value: unknown): value is TensorData {
  const { shape, data } = Object(value) as Readonly<Record<string, unknown>>;
  return Array.isArray(shape) && (data instanceof Float32Array || data instanceof Float64Array);
}

/** The error for what is none. */
export function noTensor(what: string, value: unknown, code: ErrorCode = 'invalid-state'): AdakitError {
  return new AdakitError(code, `${what} must be a tensor such as tensor32([1, 2], [2]), got ${kindOf(value)}`);
}

function requireDType(what: string, dtype: unknown): void {
  if (dtype === 'float32' || dtype === 'float64') return;
  throw new AdakitError('invalid-state', `${what} makes float32 or float64, got ${shown(dtype)}`);
}

function requireLists(what: string, ...lists: readonly unknown[]): void {
  const other = lists.findIndex((list) => !Array.isArray(list) && !ArrayBuffer.isView(list));
  if (other < 0 || (other === 1 && lists[1] === undefined && what !== 'filled')) return;
  throw new AdakitError('invalid-state', `${what} takes lists of elements and of sizes, got ${kindOf(lists[other])}`);
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
