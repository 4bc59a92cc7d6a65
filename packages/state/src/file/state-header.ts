import { quote, StateFileError, type Place } from './error.js';
import { formatHeader, LENGTH_BYTES, parseHeader, type TensorEntry } from './header.js';
import { formatJson, JsonReader } from './json.js';
import { checkSeal, seal, SEAL_KEY, UNKNOWN_SHA256, type Sha256 } from './seal.js';

/** Metadata keys of a state file besides {@link SEAL_KEY}. */
const DOCUMENT_KEY = 'adakit';
const TENSOR_KEY = 'adakit.tensor_sha256';

/** The header of a state file or of one shard of it. */
export interface StateHeader {
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** SHA-256 of every tensor's bytes. */
  readonly checksums: ReadonlyMap<string, string>;
  /** The text of the document; the same in all shards. */
  readonly document: string;
}

/** A header that was read: its own checksum stands for everything in the file. */
export interface SealedStateHeader extends StateHeader {
  readonly sha256: string;
}

/**
 * The bytes in front of the data of a state file. Its length depends on the names of checksums, not on their values, so
 * that a header can be put in place before the checksums are known and again afterwards.
 */
export function formatStateHeader(
  { tensors, checksums, document }: StateHeader,
  file: string,
  sha256: Sha256,
): Uint8Array {
  const digests = [...tensors.keys()].map((name) => [name, checksums.get(name) ?? UNKNOWN_SHA256] as const);
  const metadata = new Map([
    [SEAL_KEY, UNKNOWN_SHA256],
    [DOCUMENT_KEY, document],
    [TENSOR_KEY, formatJson(new Map(digests), (name, problem) => invalidChecksums(`${name} ${problem}`, { file }))],
  ]);
  const bytes = formatHeader({ tensors, metadata }, file);
  seal(bytes.subarray(LENGTH_BYTES), '__metadata__', sha256);
  return bytes;
}

/**
 * Parses and checks the header of a state file.
 *
 * @param bytes the header without its length field
 * @param dataLength bytes that follow the header in the file
 */
export function parseStateHeader(
  bytes: Uint8Array,
  dataLength: number,
  file: string,
  sha256: Sha256,
): SealedStateHeader {
  const { tensors, metadata } = parseHeader(bytes, dataLength, file);
  const document = metadata.get(DOCUMENT_KEY);
  const checksums = metadata.get(TENSOR_KEY);
  if (document === undefined) {
    const problem = 'the file holds tensors, but no training state: its metadata has no "adakit"';
    throw new StateFileError('missing-document', problem, { file });
  }
  const place = { file, offset: LENGTH_BYTES };
  const digits = checkSeal(bytes, '__metadata__', sha256);
  if (digits === 'missing') {
    throw new StateFileError('missing-checksum', 'the header does not begin with its checksum', place);
  }
  if (digits === 'wrong') {
    throw new StateFileError('header-checksum', 'the header is not what was written: its checksum differs', place);
  }
  if (checksums === undefined) {
    throw new StateFileError('missing-checksum', `the metadata has no "${TENSOR_KEY}"`, { file });
  }
  return { tensors, checksums: parseChecksums(checksums, tensors, file), document, sha256: digits };
}

function parseChecksums(
  text: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  file: string,
): ReadonlyMap<string, string> {
  const checksums = new Map<string, string>();
  const reader = new JsonReader(text, (code, problem, index) => {
    throw new StateFileError(code, `${problem}, at character ${index} of the checksums in its metadata`, { file });
  });
  reader.object('duplicate-key', (name) => {
    const digits = reader.string();
    if (!/^[0-9a-f]{64}$/.test(digits)) invalidChecksums(`${quote(digits)} is not a SHA-256`, { file, tensor: name });
    if (!tensors.has(name)) invalidChecksums('there is a checksum, but no such tensor', { file, tensor: name });
    checksums.set(name, digits);
  });
  reader.end();
  for (const tensor of tensors.keys()) {
    if (!checksums.has(tensor)) invalidChecksums('there is no checksum for it', { file, tensor });
  }
  return checksums;
}

function invalidChecksums(problem: string, place: Place): never {
  throw new StateFileError('missing-checksum', problem, place);
}

/** Checks the bytes of a tensor against the header. */
export function checkTensor(actual: string, name: string, { checksums }: StateHeader, place: Place): void {
  if (actual === checksums.get(name)) return;
  const problem = 'its bytes are not what was written: the checksum differs';
  throw new StateFileError('tensor-checksum', problem, { ...place, tensor: name });
}
