import { AdakitError } from '@adakit/core';

/** What a file, or a state on its way into one, did wrong; the message says it for people. */
export type StateFileErrorCode =
  // The file itself.
  | 'file-not-found'
  | 'not-a-file'
  | 'cannot-read'
  | 'cannot-write'
  | 'other-writer'
  // The safetensors container.
  | 'truncated-length'
  | 'truncated-header'
  | 'truncated-data'
  | 'trailing-bytes'
  | 'header-too-large'
  | 'invalid-utf8'
  | 'invalid-json'
  | 'not-an-object'
  | 'duplicate-name'
  | 'duplicate-key'
  | 'invalid-metadata'
  | 'invalid-entry'
  | 'invalid-name'
  | 'unknown-dtype'
  | 'invalid-shape'
  | 'shape-overflow'
  | 'invalid-offsets'
  | 'offsets-reversed'
  | 'offsets-out-of-bounds'
  | 'offsets-overlap'
  | 'offsets-hole'
  | 'size-mismatch'
  | 'tensor-too-large'
  | 'unknown-tensor'
  // Checksums.
  | 'missing-checksum'
  | 'header-checksum'
  | 'tensor-checksum'
  // The document and what it says of the tensors.
  | 'missing-document'
  | 'invalid-document'
  | 'newer-version'
  | 'unsupported-version'
  | 'wrong-dtype'
  | 'slot-shape'
  | 'missing-parameter'
  | 'non-finite'
  // Shards.
  | 'invalid-index'
  | 'index-checksum'
  | 'invalid-shard-name'
  | 'missing-shard'
  | 'shard-mismatch'
  // Directories of checkpoints.
  | 'no-valid-checkpoint'
  // This machine.
  | 'unsupported-platform';

/** Where it went wrong, as far as it can be told. */
export interface Place {
  readonly file?: string | undefined;
  readonly tensor?: string | undefined;
  /** Byte offset from the start of the file. */
  readonly offset?: number | undefined;
}

/** The error for everything that can be wrong with a state file: one code a violation, and the place. */
export class StateFileError extends AdakitError<StateFileErrorCode> {
  override readonly name = 'StateFileError';
  readonly file: string | undefined;
  readonly tensor: string | undefined;
  readonly offset: number | undefined;

  constructor(code: StateFileErrorCode, problem: string, place: Place = {}, options?: ErrorOptions) {
    const { file, tensor, offset } = place;
    const where = [
      ...(file === undefined ? [] : [file]),
      ...(tensor === undefined ? [] : [`tensor ${quote(tensor)}`]),
      ...(offset === undefined ? [] : [`byte ${offset}`]),
    ].join(', ');
    super(code, where === '' ? problem : `${where}: ${problem}`, options);
    this.file = file;
    this.tensor = tensor;
    this.offset = offset;
  }
}

/** Text from a file as an error message may show it: escaped, and not longer than a line. */
export function quote(text: string): string {
  return JSON.stringify(text.length <= 100 ? text : `${text.slice(0, 100)}…`);
}
