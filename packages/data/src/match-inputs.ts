import { kindOf, type NumericArray } from '@adakit/core';
import { emptyLike, isTensor, type Batch, type DataTensor } from './dataset/example.js';
import { DataError, requireList } from './error.js';

/** What a model takes under a name; free dimensions have names. */
export interface InputSpec {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
}

const arrays: Readonly<Record<string, NumericArray>> = {
  float32: new Float32Array(),
  float64: new Float64Array(),
  int8: new Int8Array(),
  int16: new Int16Array(),
  int32: new Int32Array(),
  int64: new BigInt64Array(),
  uint8: new Uint8Array(),
  uint16: new Uint16Array(),
  uint32: new Uint32Array(),
  uint64: new BigUint64Array(),
  bool: new Uint8Array(),
};

/**
 * A batch in the element types and shapes that a model takes, so far as nothing is lost: numbers change type where their
 * values stay the same, or round from float64 to float32, and dimensions of one come and go ([n, 28, 28] for
 * [batch, 1, 28, 28]). What fits already is passed on as it is; what cannot fit too, for the model to refuse by name.
 *
 * @throws DataError `invalid-data` for numbers that the type cannot hold
 */
export function matchInputs(specs: readonly InputSpec[]): (batch: Batch) => Batch {
  requireList('matchInputs: specs', specs);
  for (const spec of specs as readonly unknown[]) {
    const { name, dtype, shape } = Object(spec) as Readonly<Record<string, unknown>>;
    if (typeof name === 'string' && typeof dtype === 'string' && Array.isArray(shape)) continue;
    throw new DataError('invalid-argument', `matchInputs: specs are { name, dtype, shape }, got ${kindOf(spec)}`);
  }
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  return (batch) => {
    let result = batch;
    for (const name in batch) {
      const spec = byName.get(name);
      const tensor = batch[name];
      if (spec === undefined || !isTensor(tensor)) continue;
      const matched = matchTensor(spec, tensor);
      if (matched === tensor) continue;
      // A property of its own whatever its name.
      result = { ...result, [name]: matched };
    }
    return result;
  };
}

function matchTensor({ name, dtype, shape }: InputSpec, tensor: DataTensor): DataTensor {
  if ('type' in tensor) return tensor;
  const like = Object.hasOwn(arrays, dtype) ? arrays[dtype] : tensor.data;
  const data = tensor.data.constructor === like.constructor ? tensor.data : converted(name, dtype, tensor.data, like);
  const dims = matchDims(tensor.dims, shape);
  if (dtype === 'bool') return { data, dims, type: 'bool' } as DataTensor;
  return data === tensor.data && dims === tensor.dims ? tensor : { data, dims };
}

/** Bits of whole numbers that an element of a type holds, without a sign. */
const wholeBits: Readonly<Record<string, number>> = {
  Float32Array: 24,
  Float64Array: 53,
  Int8Array: 7,
  Int16Array: 15,
  Int32Array: 31,
  BigInt64Array: 63,
  Uint8Array: 8,
  Uint16Array: 16,
  Uint32Array: 32,
  BigUint64Array: 64,
};

/** Whether every number of a type is one of the other, or rounds to it where both are floating-point. */
function holds(target: string, source: string): boolean {
  if (source.startsWith('Float')) return target.startsWith('Float');
  const signed = !source.includes('Uint');
  return wholeBits[target] >= wholeBits[source] && !(signed && target.includes('Uint'));
}

function converted(name: string, dtype: string, data: NumericArray, like: NumericArray): NumericArray {
  const result = emptyLike(like, data.length);
  if (holds(like.constructor.name, data.constructor.name)) {
    if (result instanceof BigInt64Array || result instanceof BigUint64Array) {
      for (let i = 0; i < data.length; i++) result[i] = BigInt(data[i]);
    } else {
      result.set(data as Exclude<NumericArray, BigInt64Array | BigUint64Array>);
    }
    return result;
  }
  const big = result instanceof BigInt64Array || result instanceof BigUint64Array;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (big) {
      if (typeof value === 'number' && !Number.isInteger(value)) throw lossy(name, dtype, value, i);
      result[i] = BigInt(value);
    } else {
      result[i] = Number(value);
    }
    const kept = typeof value === 'bigint' ? BigInt(result[i]) === value : Number(result[i]) === value;
    if (!kept) throw lossy(name, dtype, value, i);
  }
  return result;
}

function lossy(name: string, dtype: string, value: number | bigint, place: number): DataError {
  return new DataError(
    'invalid-data',
    `'${name}' must be ${dtype}, which cannot hold ${value} at position ${place}; map it to what the model takes`,
  );
}

/** The given dimensions with ones put in or taken out behind the first axis, if that makes them those wanted. */
function matchDims(dims: readonly number[], shape: readonly (number | string)[]): readonly number[] {
  if (dims.length === shape.length || dims.length === 0 || shape.length === 0) return dims;
  const wanted = shape.slice(1).filter((size) => size !== 1);
  const given = dims.slice(1).filter((size) => size !== 1);
  const fits =
    wanted.length === given.length && wanted.every((size, i) => typeof size === 'string' || size === given[i]);
  if (!fits) return dims;
  let axis = 0;
  return [dims[0], ...shape.slice(1).map((size) => (size === 1 ? 1 : given[axis++]))];
}
