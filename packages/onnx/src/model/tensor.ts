import { elementCount, type FloatArray, type NumericArray } from '@adakit/core';
import { create } from '@bufbuild/protobuf';
import { TensorProto_DataLocation, TensorProtoSchema, type TensorProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeCode, requireDType, type DType } from './dtype.js';
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from './half.js';
import { unpackBits } from './packed.js';

/**
 * Decoded elements. float16 and bfloat16 keep their 16-bit patterns in a Uint16Array; bool is one byte an element;
 * 2- and 4-bit types and the 8-bit floats keep their packed bytes; complex numbers are (re, im) pairs; strings are
 * UTF-8 byte strings.
 */
export type TensorData = NumericArray | readonly Uint8Array[];

interface ArrayType {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumericArray;
  from(values: ArrayLike<number>): NumericArray;
}

interface Storage {
  readonly array: ArrayType;
  /** Elements of `array` that `size` tensor elements occupy. */
  readonly length: (size: number) => number;
  /** The typed field that may hold the elements instead of `raw_data`. */
  readonly field: (proto: TensorProto) => ArrayLike<number> | ArrayLike<bigint>;
}

const one = (size: number) => size;
const pair = (size: number) => 2 * size;
const packed = (bits: number) => (size: number) => Math.ceil((size * bits) / 8);
const int32Field = (proto: TensorProto) => proto.int32Data;
// BigInt arrays convert from bigint lists only; the cast records that `field` and `array` of a row always match.
const array = (type: unknown) => type as ArrayType;
const bytes = (length: (size: number) => number): Storage => ({ array: array(Uint8Array), length, field: int32Field });

const STORAGE: Readonly<Record<Exclude<DType, 'string'>, Storage>> = {
  float32: { array: array(Float32Array), length: one, field: (p) => p.floatData },
  float64: { array: array(Float64Array), length: one, field: (p) => p.doubleData },
  complex64: { array: array(Float32Array), length: pair, field: (p) => p.floatData },
  complex128: { array: array(Float64Array), length: pair, field: (p) => p.doubleData },
  int64: { array: array(BigInt64Array), length: one, field: (p) => p.int64Data },
  uint64: { array: array(BigUint64Array), length: one, field: (p) => p.uint64Data },
  uint32: { array: array(Uint32Array), length: one, field: (p) => Array.from(p.uint64Data, Number) },
  int32: { array: array(Int32Array), length: one, field: int32Field },
  int16: { array: array(Int16Array), length: one, field: int32Field },
  int8: { array: array(Int8Array), length: one, field: int32Field },
  uint16: { array: array(Uint16Array), length: one, field: int32Field },
  float16: { array: array(Uint16Array), length: one, field: int32Field },
  bfloat16: { array: array(Uint16Array), length: one, field: int32Field },
  uint8: bytes(one),
  bool: bytes(one),
  float8e4m3fn: bytes(one),
  float8e4m3fnuz: bytes(one),
  float8e5m2: bytes(one),
  float8e5m2fnuz: bytes(one),
  float8e8m0: bytes(one),
  uint4: bytes(packed(4)),
  int4: bytes(packed(4)),
  float4e2m1: bytes(packed(4)),
  uint2: bytes(packed(2)),
  int2: bytes(packed(2)),
};

/** Dtypes of several elements a byte, the first in the lowest bits, and what holds their numbers. */
const PACKED: Partial<Record<DType, { readonly bits: number; readonly to: 'int8' | 'uint8' }>> = {
  int4: { bits: 4, to: 'int8' },
  uint4: { bits: 4, to: 'uint8' },
  int2: { bits: 2, to: 'int8' },
  uint2: { bits: 2, to: 'uint8' },
};

/** A constant tensor. One read from a file keeps its protobuf message and decodes it when the elements are asked for. */
export class Tensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly #proto: TensorProto | undefined;
  #data: TensorData | undefined;

  private constructor(dtype: DType, dims: readonly number[], proto?: TensorProto, data?: TensorData) {
    this.dtype = dtype;
    this.dims = dims;
    this.#proto = proto;
    this.#data = data;
  }

  /** @throws {OnnxError} `invalid-model` for more or fewer elements than its shape has */
  static fromProto(proto: TensorProto): Tensor {
    const tensor = new Tensor(requireDType(proto.dataType, `tensor '${proto.name}'`), proto.dims.map(Number), proto);
    requireElements(proto, tensor.dtype, tensor.size);
    return tensor;
  }

  /** A tensor over `data`, which is kept, not copied. */
  static of(dtype: DType, dims: readonly number[], data: TensorData): Tensor {
    const size = elementCount(dims);
    const expected = dtype === 'string' ? size : STORAGE[dtype].length(size);
    if (data.length !== expected) {
      throw new OnnxError(
        'invalid-argument',
        `a ${dtype} tensor of shape [${dims.join(', ')}] needs ${expected} elements, got ${data.length}`,
      );
    }
    return new Tensor(dtype, dims, undefined, data);
  }

  /** A rank-1 int64 tensor, the form in which ONNX takes axes, shapes and indices. */
  static int64(values: readonly number[]): Tensor {
    return Tensor.of('int64', [values.length], toInt64(values));
  }

  /** A rank-0 tensor of a float or integer dtype. */
  static scalar(dtype: DType, value: number): Tensor {
    return Tensor.filled(dtype, [], value);
  }

  /** A tensor with every element equal to `value`. */
  static filled(dtype: DType, dims: readonly number[], value: number): Tensor {
    const size = elementCount(dims);
    if (dtype === 'int64') return Tensor.of(dtype, dims, new BigInt64Array(size).fill(BigInt(value)));
    if (dtype === 'float16') return Tensor.of(dtype, dims, new Uint16Array(size).fill(floatToHalf(value)));
    if (dtype === 'bfloat16') return Tensor.of(dtype, dims, new Uint16Array(size).fill(floatToBfloat16(value)));
    const constructors = {
      float32: Float32Array,
      float64: Float64Array,
      int32: Int32Array,
      uint8: Uint8Array,
      int8: Int8Array,
      bool: Uint8Array,
    } as const;
    if (!(dtype in constructors)) {
      throw new OnnxError('unsupported-dtype', `cannot build a ${dtype} constant; use float32 or float64`);
    }
    return Tensor.of(dtype, dims, new constructors[dtype as keyof typeof constructors](size).fill(value));
  }

  /**
   * The same numbers, one byte each, where 2 or 4 bits hold one: the target opset has no such tensors. The tensor itself
   * where that is not so.
   */
  unpacked(): Tensor {
    const form = PACKED[this.dtype];
    if (form === undefined || !(this.data instanceof Uint8Array)) return this;
    const { bits, to } = form;
    const mask = 2 ** bits - 1;
    // The last byte may hold more numbers than there are.
    const numbers = unpackBits(this.data, bits).subarray(0, this.size);
    if (to === 'uint8') return Tensor.of(to, this.dims, numbers);
    // The first bit is the sign.
    return Tensor.of(
      to,
      this.dims,
      Int8Array.from(numbers, (value) => (value > mask / 2 ? value - mask - 1 : value)),
    );
  }

  /** Number of elements. */
  get size(): number {
    return elementCount(this.dims);
  }

  /** The elements in row-major order; decoded at the first call. */
  get data(): TensorData {
    this.#data ??= this.#proto === undefined ? [] : decode(this.#proto, this.dtype, this.size);
    return this.#data;
  }

  /**
   * Reads single elements of a float tensor, by their places in row-major order, without decoding all of them; undefined for
   * other dtypes.
   */
  reader(): ((place: number) => number) | undefined {
    const { dtype } = this;
    if (dtype !== 'float32' && dtype !== 'float64') return undefined;
    const raw = this.#data === undefined ? this.#proto?.rawData : undefined;
    if (raw === undefined || raw.length === 0) {
      const data = this.data as FloatArray;
      return (place) => data[place];
    }
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (dtype === 'float32') return (place) => view.getFloat32(4 * place, true);
    return (place) => view.getFloat64(8 * place, true);
  }

  /** Copies the elements to an array of the tensor's type and size, without decoding them in between where they are its bytes. */
  copyTo(target: FloatArray): void {
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    const isSame = this.dtype === (target instanceof Float32Array ? 'float32' : 'float64');
    if (isSame && this.#proto?.rawData.length === bytes.length) bytes.set(this.#proto.rawData);
    else target.set(this.data as ArrayLike<number>);
  }

  /** The elements of a numeric tensor as plain numbers (int64 beyond 2^53 is rounded). */
  toNumbers(): number[] {
    if (this.dtype === 'float16') return Array.from(this.data as Uint16Array, halfToFloat);
    if (this.dtype === 'bfloat16') return Array.from(this.data as Uint16Array, bfloat16ToFloat);
    return Array.from(this.data as ArrayLike<number | bigint>, Number);
  }

  /** The protobuf message, under `name`; elements read from a file are passed on as they were stored. */
  toProto(name: string): TensorProto {
    if (this.#proto !== undefined) {
      return this.#proto.name === name ? this.#proto : Object.assign(create(TensorProtoSchema), this.#proto, { name });
    }
    const proto = create(TensorProtoSchema, {
      name,
      dataType: dtypeCode(this.dtype),
      dims: this.dims.map(BigInt),
    });
    const data = this.data;
    if (ArrayBuffer.isView(data)) {
      // Another view of the same memory; protobuf only reads it.
      proto.rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    } else {
      proto.stringData = data.map((text) => new Uint8Array(text));
    }
    return proto;
  }
}

/** Bytes that the elements of a stored tensor take; undefined for strings, which take any number. */
export function storedBytes({ name, dataType, dims }: TensorProto): number | undefined {
  const dtype = requireDType(dataType, `tensor '${name}'`);
  return bytesOfElements(
    dtype,
    dims.reduce((product, dim) => product * Number(dim), 1),
  );
}

/** Bytes that so many elements take; undefined for strings, which take any number. */
export function bytesOfElements(dtype: DType, size: number): number | undefined {
  if (dtype === 'string') return undefined;
  return STORAGE[dtype].length(size) * STORAGE[dtype].array.BYTES_PER_ELEMENT;
}

/** Elements in other files are counted when they are read. */
function requireElements(proto: TensorProto, dtype: DType, size: number): void {
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL) return;
  const fail = (what: string) =>
    new OnnxError('invalid-model', `tensor '${proto.name}' (${dtype}, shape [${proto.dims.join(', ')}]) ${what}`);
  if (dtype === 'string') {
    if (proto.stringData.length !== size) throw fail(`holds ${proto.stringData.length} strings instead of ${size}`);
    return;
  }
  const { array, length, field } = STORAGE[dtype];
  const expected = length(size);
  if (proto.rawData.length > 0 || expected === 0) {
    const bytes = expected * array.BYTES_PER_ELEMENT;
    if (proto.rawData.length !== bytes) throw fail(`holds ${proto.rawData.length} bytes instead of ${bytes}`);
    return;
  }
  const { length: found } = field(proto);
  if (found !== expected) throw fail(`holds ${found} elements instead of ${expected}`);
}

function decode(proto: TensorProto, dtype: DType, size: number): TensorData {
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL) {
    const location = proto.externalData.find(({ key }) => key === 'location')?.value ?? 'another file';
    throw new OnnxError(
      'external-data',
      `tensor '${proto.name}' keeps its elements in '${location}', outside the model file; save the model with its weights inside`,
    );
  }
  if (dtype === 'string') return proto.stringData;
  const { array, length, field } = STORAGE[dtype];
  const expected = length(size);
  const raw = proto.rawData;
  if (raw.length > 0 || expected === 0) {
    // Typed arrays must start at a multiple of their element size; bytes inside a file rarely do. (Not slice(): in Node
    // the bytes may be a Buffer, whose slice() does not copy.)
    const aligned = raw.byteOffset % array.BYTES_PER_ELEMENT === 0 ? raw : new Uint8Array(raw);
    return new array(aligned.buffer, aligned.byteOffset, expected);
  }
  return array.from(field(proto) as ArrayLike<number>);
}

const LARGEST_INT64 = 2n ** 63n - 1n;

/** Numbers as int64. The largest of these, which stands for 'to the end' in slices, is 2^63 as a number. */
export function toInt64(values: readonly number[]): BigInt64Array {
  return BigInt64Array.from(values, (value) => (value >= 2 ** 63 ? LARGEST_INT64 : BigInt(value)));
}
