import { elementCount, type NumericArray } from '@adakit/core';
import { gunzipSync } from 'fflate';
import type { DataTensor } from '../dataset/example.js';
import { DataError } from '../error.js';

/** Arrays by element type in the header; numbers in the file are big-endian. */
const arrays: Readonly<
  Record<number, { readonly name: string; readonly width: number; readonly of: (bytes: ArrayBuffer) => NumericArray }>
> = {
  0x08: { name: 'uint8', width: 1, of: (bytes) => new Uint8Array(bytes) },
  0x09: { name: 'int8', width: 1, of: (bytes) => new Int8Array(bytes) },
  0x0b: { name: 'int16', width: 2, of: (bytes) => new Int16Array(bytes) },
  0x0c: { name: 'int32', width: 4, of: (bytes) => new Int32Array(bytes) },
  0x0d: { name: 'float32', width: 4, of: (bytes) => new Float32Array(bytes) },
  0x0e: { name: 'float64', width: 8, of: (bytes) => new Float64Array(bytes) },
};

/**
 * Parses an IDX file, as MNIST comes in, also compressed by gzip: two zero bytes, the element type, the rank, one
 * big-endian 32-bit size a dimension, then the elements (http://yann.lecun.com/exdb/mnist/).
 *
 * @param source the file's name, for messages
 * @throws DataError `invalid-data` when anything is missing or left over
 */
export function parseIdx(file: Uint8Array, source = 'the IDX file'): DataTensor {
  const fail = (problem: string): never => {
    throw new DataError('invalid-data', `${source}: ${problem}`);
  };
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? gunzip(file, source) : file;
  if (bytes.length < 4) fail(`the file has ${bytes.length} bytes, too few for an IDX header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [type, rank] = [bytes[2], bytes[3]];
  if (view.getUint16(0) !== 0 || !Object.hasOwn(arrays, type)) {
    fail(`starts with 0x${view.getUint32(0).toString(16).padStart(8, '0')}, which no IDX file does`);
  }
  const { name, width, of } = arrays[type];
  const header = 4 + 4 * rank;
  if (bytes.length < header) fail(`truncated: ${bytes.length} bytes, the header alone has ${header}`);
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const length = header + width * elementCount(dims);
  if (bytes.length < length) fail(`truncated: ${bytes.length} bytes of ${length} for ${name} [${dims.join(', ')}]`);
  if (bytes.length > length) fail(`${bytes.length - length} bytes too many after the last element`);
  // A copy in memory of its own, which slice() of Node's Buffer is not.
  const elements = new Uint8Array(bytes.subarray(header));
  if (width > 1) for (let i = 0; i < elements.length; i += width) elements.subarray(i, i + width).reverse();
  return { data: of(elements.buffer), dims };
}

function gunzip(file: Uint8Array, source: string): Uint8Array {
  try {
    return gunzipSync(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DataError('invalid-data', `${source}: is damaged, gzip says: ${reason}`, { cause: error });
  }
}
