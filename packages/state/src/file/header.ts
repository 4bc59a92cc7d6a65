import type { StoredDType } from '@adakit/core';
import { quote, StateFileError, type StateFileErrorCode } from './error.js';
import { formatJson, isWellFormed, JsonReader } from './json.js';
import { elementBits, isStoredDType, storedByteLength, storedDTypes } from './stored-tensor.js';

/** Bytes of the length field in front of the header. */
export const LENGTH_BYTES = 8;
/** The limit that every reader of safetensors has. */
export const MAX_HEADER_BYTES = 100_000_000;
/** NumPy's limit is 64 dimensions as well. */
const MAX_RANK = 64;

/** What a file has to say of a tensor before its bytes are read. */
export interface TensorInfo {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
}

/** A tensor in a file; offsets are relative to the start of the data section. */
export interface TensorEntry extends TensorInfo {
  readonly begin: number;
  readonly end: number;
}

/** A safetensors header: tensors in the order of their bytes, which they cover from 0 to the end without holes. */
export interface Header {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Length of the header of a file, from its first eight bytes.
 *
 * @param start the first bytes of the file
 * @param fileLength length of the whole file in bytes
 */
export function readHeaderLength(start: Uint8Array, fileLength: number, file: string): number {
  if (fileLength < LENGTH_BYTES) {
    throw new StateFileError('truncated-length', `the file has ${fileLength} bytes and not even its length field`, {
      file,
      offset: fileLength,
    });
  }
  const length = new DataView(start.buffer, start.byteOffset, start.byteLength).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new StateFileError(
      'header-too-large',
      `the header claims ${length} bytes, the limit is ${MAX_HEADER_BYTES}; is this a safetensors file?`,
      { file, offset: 0 },
    );
  }
  if (length > fileLength - LENGTH_BYTES) {
    throw new StateFileError(
      'truncated-header',
      `the header should have ${length} bytes, but the file ends after ${fileLength - LENGTH_BYTES} of them`,
      { file, offset: fileLength },
    );
  }
  return Number(length);
}

/**
 * Parses a header.
 *
 * @param bytes the header without its length field
 * @param dataLength bytes that follow the header in the file
 * @throws StateFileError for the first violation found
 */
export function parseHeader(bytes: Uint8Array, dataLength: number, file: string): Header {
  const text = decodeUtf8(bytes, file);
  let tensor: string | undefined;
  const reader = new JsonReader(text, (code, problem, index) => {
    throw new StateFileError(code, problem, { file, tensor, offset: LENGTH_BYTES + utf8Length(text.slice(0, index)) });
  });
  if (!text.startsWith('{')) reader.fail('not-an-object', 'the header is not a JSON object');
  const tensors: [string, TensorEntry][] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  reader.object('duplicate-name', (name) => {
    if (name === '__metadata__') {
      metadata = readMetadata(reader);
    } else {
      tensor = name;
      tensors.push([name, readEntry(reader)]);
      tensor = undefined;
    }
  });
  reader.end();
  // Empty tensors come before the one that begins where they do.
  tensors.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkCoverage(tensors, dataLength, file, LENGTH_BYTES + bytes.length);
  return { tensors: new Map(tensors), metadata };
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    // A lenient decoder replaces mistakes, so encoding again changes nothing before the first.
    const encoded = new TextEncoder().encode(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
    const mistake = bytes.findIndex((byte, i) => byte !== encoded[i]);
    const offset = LENGTH_BYTES + (mistake < 0 ? bytes.length : mistake);
    throw new StateFileError('invalid-utf8', 'the header is not UTF-8', { file, offset }, { cause });
  }
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

function readMetadata(reader: JsonReader): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (reader.peek() !== '{') reader.fail('invalid-metadata', '"__metadata__" must be an object');
  reader.object('duplicate-key', (key) => {
    if (reader.peek() !== '"') reader.fail('invalid-metadata', `the metadata ${quote(key)} must be a string`);
    metadata.set(key, reader.string());
  });
  return metadata;
}

function readEntry(reader: JsonReader): TensorEntry {
  let dtype: StoredDType | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  if (reader.peek() !== '{') reader.fail('invalid-entry', 'a tensor must be an object with dtype, shape, data_offsets');
  reader.object('duplicate-key', (key) => {
    switch (key) {
      case 'dtype':
        dtype = readDType(reader);
        break;
      case 'shape':
        shape = readShape(reader);
        break;
      case 'data_offsets':
        offsets = readOffsets(reader);
        break;
      default:
        reader.fail('invalid-entry', `it has a member ${quote(key)}; only dtype, shape and data_offsets are known`);
    }
  });
  if (dtype === undefined) return reader.fail('invalid-entry', 'it lacks dtype');
  if (shape === undefined) return reader.fail('invalid-entry', 'it lacks shape');
  if (offsets === undefined) return reader.fail('invalid-entry', 'it lacks data_offsets');
  const [begin, end] = offsets;
  if (begin > end) reader.fail('offsets-reversed', `it begins at ${begin} and ends before, at ${end}`);
  const size = storedByteLength(dtype, shape);
  if (size === undefined) return reader.fail('shape-overflow', `its shape [${shape.join(', ')}] has too many elements`);
  if (size !== end - begin) {
    reader.fail(
      'size-mismatch',
      `${dtype} of shape [${shape.join(', ')}] takes ${size} bytes, but it has ${end - begin} (${begin} to ${end})`,
    );
  }
  return { dtype, shape, begin, end };
}

function readDType(reader: JsonReader): StoredDType {
  if (reader.peek() !== '"') reader.fail('invalid-entry', 'dtype must be a string');
  const name = reader.string();
  if (!isStoredDType(name)) {
    return reader.fail('unknown-dtype', `unknown dtype ${quote(name)}; known are ${storedDTypes.join(', ')}`);
  }
  return name;
}

function readShape(reader: JsonReader): number[] {
  const shape: number[] = [];
  if (reader.peek() !== '[') reader.fail('invalid-shape', 'shape must be an array');
  reader.array(() => {
    if (shape.length === MAX_RANK) reader.fail('invalid-shape', `its shape has more than ${MAX_RANK} dimensions`);
    shape.push(reader.natural('invalid-shape'));
  });
  return shape;
}

function readOffsets(reader: JsonReader): number[] {
  const offsets: number[] = [];
  const wrong = (): never => reader.fail('invalid-offsets', 'data_offsets must be two whole numbers');
  if (reader.peek() !== '[') wrong();
  reader.array(() => {
    if (offsets.length === 2) wrong();
    offsets.push(reader.natural('invalid-offsets'));
  });
  if (offsets.length !== 2) wrong();
  return offsets;
}

/** Tensors, in order, must cover the data section exactly. */
function checkCoverage(
  tensors: readonly (readonly [string, TensorEntry])[],
  length: number,
  file: string,
  dataStart: number,
): void {
  const fail = (code: StateFileErrorCode, problem: string, at: number, tensor?: string): never => {
    throw new StateFileError(code, problem, { file, tensor, offset: dataStart + at });
  };
  let covered = 0;
  for (const [tensor, { begin, end }] of tensors) {
    if (begin > length) {
      fail('offsets-out-of-bounds', `it begins at ${begin} of ${length} bytes of data`, begin, tensor);
    }
    if (begin < covered)
      fail('offsets-overlap', `it overlaps the tensor before, which ends at ${covered}`, begin, tensor);
    if (begin > covered) fail('offsets-hole', `bytes ${covered} to ${begin} belong to no tensor`, covered, tensor);
    if (end > length)
      fail('truncated-data', `it ends at ${end}, but there are ${length} bytes of data`, length, tensor);
    covered = end;
  }
  if (covered < length) {
    fail('trailing-bytes', `${length - covered} bytes follow the last tensor`, covered);
  }
}

/**
 * Gives tensors their places: wider elements first, so that every tensor is aligned to its elements; else as given.
 *
 * @throws StateFileError for a name that a file cannot hold or a shape that is not one
 */
export function layOut(tensors: Iterable<readonly [string, TensorInfo]>, file: string): Map<string, TensorEntry> {
  const sorted = [...tensors].sort(([, a], [, b]) => elementBits(b.dtype) - elementBits(a.dtype));
  const entries = new Map<string, TensorEntry>();
  let begin = 0;
  for (const [name, { dtype, shape }] of sorted) {
    const place = { file, tensor: name };
    if (name === '__metadata__' || !isWellFormed(name)) {
      throw new StateFileError('invalid-name', 'a tensor cannot have this name in a safetensors file', place);
    }
    if (entries.has(name)) throw new StateFileError('duplicate-name', 'there are two tensors of this name', place);
    if (shape.length > MAX_RANK || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw new StateFileError('invalid-shape', `[${shape.join(', ')}] is not a shape`, place);
    }
    const size = storedByteLength(dtype, shape);
    if (size === undefined || begin + size > Number.MAX_SAFE_INTEGER) {
      throw new StateFileError('shape-overflow', `[${shape.join(', ')}] has too many elements`, place);
    }
    if (!Number.isInteger(size)) {
      throw new StateFileError('invalid-shape', `${dtype} of shape [${shape.join(', ')}] ends within a byte`, place);
    }
    entries.set(name, { dtype, shape, begin, end: begin + size });
    begin += size;
  }
  return entries;
}

/** Bytes of data after the header. */
export function dataLength(tensors: ReadonlyMap<string, TensorEntry>): number {
  let length = 0;
  for (const { end } of tensors.values()) length = Math.max(length, end);
  return length;
}

/**
 * The bytes in front of the data: length field and header, filled up with spaces so that the data begins at a multiple
 * of eight.
 */
export function formatHeader({ tensors, metadata }: Header, file: string): Uint8Array {
  const members = [...tensors].map(
    ([name, { dtype, shape, begin, end }]) =>
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${begin},${end}]}`,
  );
  if (metadata.size > 0) {
    const json = formatJson(metadata, (path, problem) => {
      throw new StateFileError('invalid-metadata', `the metadata ${quote(path.slice(1))} ${problem}`, { file });
    });
    members.unshift(`"__metadata__":${json}`);
  }
  const json = new TextEncoder().encode(`{${members.join()}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new StateFileError(
      'header-too-large',
      `${tensors.size} tensors need a header of ${length} bytes, the limit is ${MAX_HEADER_BYTES}; use more shards`,
      { file },
    );
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(' '.charCodeAt(0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}
