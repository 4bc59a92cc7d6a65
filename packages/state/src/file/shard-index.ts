import { StateFileError } from './error.js';
import { MAX_HEADER_BYTES } from './header.js';
import { formatJson, JsonReader } from './json.js';
import { checkSeal, seal, SEAL_KEY, UNKNOWN_SHA256, type Sha256 } from './seal.js';

/** What holds the shards of a state together: the index file of Hugging Face, sealed. */
export interface ShardIndex {
  /** Checksum of the header by file; a header's checksum stands for everything in its file. */
  readonly shards: ReadonlyMap<string, string>;
  /** File by tensor. */
  readonly tensors: ReadonlyMap<string, string>;
  /** Bytes of all tensors. */
  readonly totalSize: number;
}

const SHARDS_KEY = 'adakit.shards';

export function formatIndex({ shards, tensors, totalSize }: ShardIndex, file: string, sha256: Sha256): Uint8Array {
  const metadata = new Map<string, unknown>([
    [SEAL_KEY, UNKNOWN_SHA256],
    ['total_size', totalSize],
    [SHARDS_KEY, shards],
  ]);
  const index = new Map<string, unknown>([
    ['metadata', metadata],
    ['weight_map', tensors],
  ]);
  const json = formatJson(index, (path, problem) => {
    throw new StateFileError('invalid-index', `${path} ${problem}`, { file });
  });
  const bytes = new TextEncoder().encode(json);
  seal(bytes, 'metadata', sha256);
  return bytes;
}

/**
 * Parses and checks an index.
 *
 * @throws StateFileError for the first violation found
 */
export function parseIndex(bytes: Uint8Array, file: string, sha256: Sha256): ShardIndex {
  if (bytes.length > MAX_HEADER_BYTES) {
    throw new StateFileError('header-too-large', `the index has more than ${MAX_HEADER_BYTES} bytes`, { file });
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StateFileError('invalid-utf8', 'the index is not UTF-8', { file }, { cause });
  }
  const reader = new JsonReader(text, (code, problem, index) => {
    throw new StateFileError(code, problem, { file, offset: new TextEncoder().encode(text.slice(0, index)).length });
  });
  let totalSize: number | undefined;
  const shards = new Map<string, string>();
  const tensors = new Map<string, string>();
  const members: Readonly<Record<string, () => void>> = {
    metadata: () => {
      reader.object('duplicate-key', (key) => {
        if (key === 'total_size') totalSize = reader.natural('invalid-index');
        else if (key === SHARDS_KEY) readStrings(reader, shards);
        else if (key === SEAL_KEY) reader.string();
        else reader.fail('invalid-index', `unknown metadata ${JSON.stringify(key)}`);
      });
    },
    weight_map: () => {
      readStrings(reader, tensors);
    },
  };
  if (reader.peek() !== '{') reader.fail('not-an-object', 'the index is not a JSON object');
  reader.object('duplicate-key', (key) => {
    if (!Object.hasOwn(members, key)) reader.fail('invalid-index', `unknown member ${JSON.stringify(key)}`);
    members[key]();
  });
  reader.end();
  const digits = checkSeal(bytes, 'metadata', sha256);
  if (digits === 'missing') {
    const problem = 'the index does not begin with its checksum; it is not the index of a training state';
    throw new StateFileError('missing-checksum', problem, { file, offset: 0 });
  }
  if (digits === 'wrong') {
    throw new StateFileError('index-checksum', 'the index is not what was written: its checksum differs', { file });
  }
  if (totalSize === undefined || shards.size === 0) {
    throw new StateFileError('invalid-index', `the index lacks total_size or ${SHARDS_KEY}`, { file });
  }
  for (const shard of [...shards.keys(), ...tensors.values()]) {
    // A file beside the index, never one somewhere else.
    if (!/^[^/\\:\0]+\.safetensors$/.test(shard)) {
      throw new StateFileError('invalid-shard-name', `${JSON.stringify(shard)} is not a shard's name`, { file });
    }
  }
  return { shards, tensors, totalSize };
}

function readStrings(reader: JsonReader, into: Map<string, string>): void {
  reader.object('duplicate-key', (key) => into.set(key, reader.string()));
}
