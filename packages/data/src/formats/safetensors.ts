import { decodeTensors, loadTensor } from '@adakit/state';
import type { StoredTensor, NumericArray } from '@adakit/core';
import type { DataTensor } from '../dataset/example.js';
import { DataError } from '../error.js';

const integers: Readonly<Partial<Record<StoredTensor['dtype'], new (bytes: ArrayBuffer) => NumericArray>>> = {
  I8: Int8Array,
  I16: Int16Array,
  I32: Int32Array,
  I64: BigInt64Array,
  U8: Uint8Array,
  U16: Uint16Array,
  U32: Uint32Array,
  U64: BigUint64Array,
  BOOL: Uint8Array,
};

/**
 * The tensors of a safetensors file by name. Floating point becomes float32, float64 stays.
 *
 * @throws StateFileError for a damaged file; DataError `invalid-data` for element types that no batch can hold
 */
export function parseSafetensors(file: Uint8Array, source = 'the safetensors file'): Record<string, DataTensor> {
  const { tensors } = decodeTensors(file, { file: source });
  return Object.fromEntries([...tensors].map(([name, tensor]) => [name, dataTensor(name, tensor, source)]));
}

function dataTensor(name: string, { dtype, shape, bytes }: StoredTensor, source: string): DataTensor {
  const Integers = integers[dtype];
  if (Integers !== undefined) return { data: new Integers(new Uint8Array(bytes).buffer), dims: shape };
  if (!['F64', 'F32', 'F16', 'BF16'].includes(dtype)) {
    throw new DataError(
      'invalid-data',
      `${source}: '${name}' has element type ${dtype}, which no batch holds; save it as F32`,
    );
  }
  return { data: loadTensor({ dtype, shape, bytes }).data, dims: shape };
}
