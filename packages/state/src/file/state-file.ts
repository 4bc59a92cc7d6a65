import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { StoredTensor, TrainingState } from '@adakit/core';
import { kinds } from '@adakit/core/states';
import { assembleState, contentsOf, layoutOf, requireFinite } from './contents.js';
import { formatDocument, parseDocument } from './document.js';
import { StateFileError } from './error.js';
import { requireOptions, requireTensorMap } from './given.js';
import {
  dataLength,
  formatHeader,
  LENGTH_BYTES,
  layOut,
  parseHeader,
  readHeaderLength,
  type TensorEntry,
} from './header.js';
import { checkTensor, formatStateHeader, parseStateHeader } from './state-header.js';
import { storedByteLength } from './stored-tensor.js';

/** Options for writing a state. */
export interface EncodeOptions {
  /** How good the state is, e.g. the validation loss; kept with it. */
  readonly metric?: number;
  /** Refuse infinities and NaN in parameters and slots. Default: false. */
  readonly finite?: boolean;
}

/** Options for reading a state. */
export interface DecodeOptions {
  /** Name of the file, for error messages. */
  readonly file?: string;
  /** Refuse infinities and NaN in parameters and slots. Default: false. */
  readonly finite?: boolean;
}

/** Tensors and metadata of a safetensors file, whatever it is about. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

const sha256 = (bytes: Uint8Array): string => bytesToHex(nobleSha256(bytes));

/** How a state is called in messages when it has no file. */
const NAMELESS = 'the state';

/**
 * The bytes of a state file; docs/state-format.md describes them.
 *
 * @throws StateFileError for a state that a file cannot hold
 */
export function encodeState(state: TrainingState, options: EncodeOptions = {}): Uint8Array {
  requireOptions('encodeState()', options, { metric: kinds.number, finite: kinds.flag });
  const { metric, finite = false } = options;
  const file = NAMELESS;
  const contents = contentsOf(state, file, metric);
  const tensors = layOut(contents.tensors, file);
  layoutOf(contents.document, tensors, file);
  const checksums = new Map<string, string>();
  for (const [name, stored] of contents.tensors) {
    if (finite) requireFinite(name, stored.dtype, stored.bytes, file);
    checksums.set(name, sha256(stored.bytes));
  }
  const document = formatDocument(contents.document, { file });
  return concatenate(
    formatStateHeader({ tensors, checksums, document }, file, sha256),
    tensors,
    contents.tensors,
    file,
  );
}

/**
 * The training state in the bytes of a file; shares no memory with them.
 *
 * @throws StateFileError for the first violation of the format, with its code and place
 */
export function decodeState(bytes: Uint8Array, options: DecodeOptions = {}): TrainingState {
  requireOptions('decodeState()', options, { file: kinds.text, finite: kinds.flag });
  const { file = NAMELESS, finite = false } = options;
  const { header, data } = split(bytes, file);
  const parsed = parseStateHeader(header, data.length, file, sha256);
  const document = parseDocument(parsed.document, { file });
  const layout = layoutOf(document, parsed.tensors, file);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of parsed.tensors) {
    const stored = cut(data, entry);
    const place = { file, offset: bytes.length - data.length + entry.begin };
    checkTensor(sha256(stored.bytes), name, parsed, place);
    if (finite) requireFinite(name, stored.dtype, stored.bytes, file);
    tensors.set(name, stored);
  }
  return assembleState(document, layout, (name) => known(tensors, name));
}

/** The bytes of a safetensors file that is no training state. */
export function encodeTensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  const file = 'the safetensors file';
  requireTensorMap(file, tensors);
  const entries = layOut(tensors, file);
  return concatenate(formatHeader({ tensors: entries, metadata }, file), entries, tensors, file);
}

/**
 * Tensors and metadata of any safetensors file; shares no memory with `bytes`.
 *
 * @throws StateFileError for the first violation of the format
 */
export function decodeTensors(bytes: Uint8Array, options: { file?: string } = {}): TensorFile {
  requireOptions('decodeTensors()', options, { file: kinds.text });
  const { file = 'the safetensors file' } = options;
  const { header, data } = split(bytes, file);
  const { tensors, metadata } = parseHeader(header, data.length, file);
  return { tensors: new Map([...tensors].map(([name, entry]) => [name, cut(data, entry)])), metadata };
}

function split(bytes: Uint8Array, file: string): { header: Uint8Array; data: Uint8Array } {
  if (!((bytes as unknown) instanceof Uint8Array)) {
    throw new StateFileError('cannot-read', 'its bytes must be a Uint8Array, as new Uint8Array(buffer) is', { file });
  }
  const end = LENGTH_BYTES + readHeaderLength(bytes, bytes.length, file);
  return { header: bytes.subarray(LENGTH_BYTES, end), data: bytes.subarray(end) };
}

function cut(data: Uint8Array, { dtype, shape, begin, end }: TensorEntry): StoredTensor {
  return { dtype, shape, bytes: new Uint8Array(data.subarray(begin, end)) };
}

function concatenate(
  header: Uint8Array,
  entries: ReadonlyMap<string, TensorEntry>,
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
): Uint8Array {
  const bytes = new Uint8Array(header.length + dataLength(entries));
  bytes.set(header);
  for (const [name, { begin }] of entries) {
    const stored = known(tensors, name);
    checkByteLength(name, stored, file);
    bytes.set(stored.bytes, header.length + begin);
  }
  return bytes;
}

/** A tensor to be written must have the bytes that its shape says. */
export function checkByteLength(name: string, { dtype, shape, bytes }: StoredTensor, file: string): void {
  const expected = storedByteLength(dtype, shape);
  if (bytes.length === expected) return;
  throw new StateFileError(
    'size-mismatch',
    `${dtype} of shape [${shape.join(', ')}] takes ${expected} bytes, but it has ${bytes.length}`,
    { file, tensor: name },
  );
}

function known<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  if (value === undefined) throw new StateFileError('unknown-tensor', 'there is no such tensor', { tensor: name });
  return value;
}
