import { elementCount, type NumericArray } from '@adakit/core';
import { unzipSync } from 'fflate';
import { loadTensor } from '@adakit/state';
import type { DataTensor } from '../dataset/example.js';
import { emptyLike } from '../dataset/example.js';
import { DataError } from '../error.js';

/** Arrays by the kind and size in bytes that NumPy writes. */
const arrays: Readonly<Record<string, (bytes: ArrayBuffer) => NumericArray>> = {
  f2: (bytes) =>
    Float32Array.from(loadTensor({ dtype: 'F16', shape: [bytes.byteLength / 2], bytes: new Uint8Array(bytes) }).data),
  f4: (bytes) => new Float32Array(bytes),
  f8: (bytes) => new Float64Array(bytes),
  i1: (bytes) => new Int8Array(bytes),
  i2: (bytes) => new Int16Array(bytes),
  i4: (bytes) => new Int32Array(bytes),
  i8: (bytes) => new BigInt64Array(bytes),
  u1: (bytes) => new Uint8Array(bytes),
  u2: (bytes) => new Uint16Array(bytes),
  u4: (bytes) => new Uint32Array(bytes),
  u8: (bytes) => new BigUint64Array(bytes),
  b1: (bytes) => new Uint8Array(bytes),
};

/**
 * An array that NumPy saved (`.npy`, versions 1 to 3: numpy.lib.format). float16 becomes float32, bool uint8.
 *
 * @param source the file's name, for messages
 * @throws DataError `invalid-data` for what is damaged or holds objects, texts or complex numbers
 */
export function parseNpy(file: Uint8Array, source = 'the .npy file'): DataTensor {
  const fail = (problem: string): never => {
    throw new DataError('invalid-data', `${source}: ${problem}`);
  };
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 10 || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059) {
    fail('is no .npy file: it does not begin with \\x93NUMPY');
  }
  const wide = file[6] >= 2;
  const start = wide ? 12 : 10;
  if (file.length < start) fail('is cut off in its header');
  const offset = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  if (file.length < offset) fail('is cut off in its header');
  const header = new TextDecoder().decode(file.subarray(start, offset));
  const type = /'descr':\s*'([<>|=])([a-zA-Z])(\d+)'/.exec(header);
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (order === undefined || shape === undefined) return fail(`has a header without shape and order: ${header.trim()}`);
  const name = type === null ? '' : `${type[2]}${type[3]}`;
  if (type === null || !Object.hasOwn(arrays, name)) {
    return fail(
      `holds elements that are no numbers (${/'descr':\s*([^,}]+)/.exec(header)?.[1] ?? 'unknown'}); save it with another dtype`,
    );
  }
  const dims = shape
    .split(',')
    .filter((text) => text.trim() !== '')
    .map(Number);
  const count = elementCount(dims);
  const width = Number(type[3]);
  if (file.length - offset !== count * width) {
    fail(`should have ${count * width} bytes of elements for shape [${dims.join(', ')}], has ${file.length - offset}`);
  }
  // A copy in memory of its own, which slice() of Node's Buffer is not.
  const bytes = new Uint8Array(file.subarray(offset));
  if (type[1] === '>') for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse();
  const data = arrays[name](bytes.buffer);
  return { data: order === 'True' && dims.length > 1 ? rowMajor(data, dims) : data, dims };
}

/** From column-major order. */
function rowMajor(data: NumericArray, dims: readonly number[]): NumericArray {
  const result = emptyLike(data, data.length);
  const strides = dims.map((_, axis) => elementCount(dims.slice(0, axis)));
  const place = dims.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    result[i] = data[place.reduce((sum, index, axis) => sum + index * strides[axis], 0)];
    for (let axis = dims.length - 1; axis >= 0 && ++place[axis] === dims[axis]; axis--) place[axis] = 0;
  }
  return result;
}

/**
 * The arrays of an `.npz` file by name.
 *
 * @throws DataError `invalid-data`
 */
export function parseNpz(file: Uint8Array, source = 'the .npz file'): Record<string, DataTensor> {
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(file);
  } catch (error) {
    throw new DataError(
      'invalid-data',
      `${source}: is no .npz file (${error instanceof Error ? error.message : String(error)})`,
      { cause: error },
    );
  }
  return Object.fromEntries(
    Object.entries(entries).map(([name, bytes]) => [name.replace(/\.npy$/, ''), parseNpy(bytes, `${source}, ${name}`)]),
  );
}
