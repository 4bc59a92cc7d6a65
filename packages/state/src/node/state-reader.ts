import { basename, join } from 'node:path';
import type { StoredTensor, TrainingState } from '@adakit/core';
import { kinds, type OptionKind } from '@adakit/core/states';
import { assembleState, layoutOf, requireFinite, type StateLayout } from '../file/contents.js';
import { parseDocument, type StateDocument } from '../file/document.js';
import { StateFileError, type Place } from '../file/error.js';
import { requireOptions } from '../file/given.js';
import { MAX_HEADER_BYTES, type TensorEntry, type TensorInfo } from '../file/header.js';
import { parseIndex, type ShardIndex } from '../file/shard-index.js';
import { checkTensor, parseStateHeader, type SealedStateHeader } from '../file/state-header.js';
import { elementBits } from '../file/stored-tensor.js';
import {
  FILE_OPTIONS,
  fileError,
  followLinks,
  openRegularFile,
  readFully,
  requirePlace,
  sha256,
  statusOf,
} from './file-access.js';
import { disk, type FileOptions, type FileSystem } from './file-system.js';
import { isIndexPath, statePath, type StatePath } from './state-path.js';
import { TensorReader, type InspectTensor } from './tensor-reader.js';

/** Options for reading a state file. */
export interface ReadStateOptions extends FileOptions {
  /** Refuse infinities and NaN in parameters and slots. Default: false. */
  readonly finite?: boolean;
  /** Told of each part that is read which tensor it is of. */
  readonly onPart?: ((tensor: string) => void) | undefined;
}

/** {@link ReadStateOptions}, as they may be. */
export const READ_OPTIONS: Readonly<Record<keyof ReadStateOptions, OptionKind>> = {
  ...FILE_OPTIONS,
  finite: kinds.flag,
  onPart: kinds.callable,
};

/** Where a tensor is. */
export interface TensorLocation extends TensorInfo {
  readonly file: string;
  /** Byte offset in that file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Reads a training state and checks every byte of it.
 *
 * @param path the file; for a state in shards its index, or the name that the file would have
 * @throws StateFileError for the first violation of the format, with its code and place
 */
export async function readState(path: string, options: ReadStateOptions = {}): Promise<TrainingState> {
  requirePlace('cannot-read', 'a state is read from', path, options, READ_OPTIONS);
  const { fileSystem = disk } = options;
  const state = await openState(path, { fileSystem });
  try {
    return await state.load(options);
  } finally {
    await state.close();
  }
}

/**
 * Opens a state file: checks headers, document and index, and leaves the tensors where they are.
 *
 * @param path as for {@link readState}
 * @throws StateFileError for the first violation of the format, with its code and place
 */
export async function openState(path: string, options: FileOptions = {}): Promise<OpenState> {
  requirePlace('cannot-read', 'a state is read from', path, options);
  const { fileSystem = disk } = options;
  const target = isIndexPath(path) ? statePath(path) : await stateTarget(path, fileSystem);
  if (!isIndexPath(path) && ((await exists(target.single, fileSystem)) || !(await exists(target.index, fileSystem)))) {
    return OpenState.open(target.single, [target.single], fileSystem);
  }
  const index = await readIndex(target.index, fileSystem);
  const shards = [...index.shards.keys()].map((name) => join(target.directory, name));
  return OpenState.open(target.index, shards, fileSystem, index);
}

/** Where a state is: a link from its name leads to the state in one file or, where there is none, to its index beside. */
export async function stateTarget(path: string, fileSystem: FileSystem): Promise<StatePath> {
  try {
    return statePath(await followLinks(statePath(path).single, fileSystem));
  } catch (error) {
    throw fileError(error, 'cannot-read', path);
  }
}

/** An open state file, or an open set of shards. */
export class OpenState {
  readonly path: string;
  readonly document: StateDocument;
  /** Every tensor by its name in the file, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorLocation>;
  readonly #shards: readonly Shard[];
  readonly #layout: StateLayout;

  private constructor(path: string, shards: readonly Shard[], document: StateDocument) {
    this.path = path;
    this.document = document;
    this.tensors = new Map(shards.flatMap(locations));
    this.#shards = shards;
    this.#layout = layoutOf(document, this.tensors, path);
  }

  /** For {@link openState}. */
  static async open(
    path: string,
    files: readonly string[],
    fileSystem: FileSystem,
    index?: ShardIndex,
  ): Promise<OpenState> {
    const shards: Shard[] = [];
    try {
      for (const file of files) shards.push(await openShard(file, fileSystem));
      if (index !== undefined) checkShards(shards, index, path);
      const document = parseDocument(shards[0].header.document, { file: shards[0].reader.file });
      return new OpenState(path, shards, document);
    } catch (error) {
      for (const { reader } of shards) await reader.close();
      if (index !== undefined && error instanceof StateFileError && error.code === 'file-not-found') {
        throw new StateFileError('missing-shard', `${path} needs this shard`, { file: error.file }, { cause: error });
      }
      throw error;
    }
  }

  /**
   * Reads one tensor, and nothing else, and checks it.
   *
   * @param name as in {@link tensors}
   * @throws StateFileError `unknown-tensor`, or `tensor-checksum` for one that is not what was written
   */
  async read(name: string): Promise<StoredTensor> {
    for (const shard of this.#shards) {
      const entry = shard.header.tensors.get(name);
      if (entry === undefined) continue;
      for await (const { sha256, bytes } of shard.reader.read([[name, entry]], { keep: true })) {
        checkTensor(sha256, name, shard.header, placeOf(shard, entry));
        return { dtype: entry.dtype, shape: entry.shape, bytes };
      }
    }
    throw new StateFileError('unknown-tensor', 'there is no such tensor', { file: this.path, tensor: name });
  }

  /** Reads everything and checks it. */
  async load(options: ReadStateOptions = {}): Promise<TrainingState> {
    requireOptions('OpenState.load()', options, READ_OPTIONS);
    const tensors = new Map<string, StoredTensor>();
    await this.#readAll(true, options, (name, tensor) => tensors.set(name, tensor));
    return assembleState(this.document, this.#layout, (name) => {
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new StateFileError('unknown-tensor', 'there is no such tensor', { tensor: name });
      return tensor;
    });
  }

  /** Checks everything and keeps nothing: memory does not grow with the state. */
  async verify(options: ReadStateOptions = {}): Promise<void> {
    requireOptions('OpenState.verify()', options, READ_OPTIONS);
    await this.#readAll(false, options, () => undefined);
  }

  /**
   * Shows every tensor part by part, in the order of the file, and checks it: memory does not grow with the state.
   *
   * @returns an error `tensor-checksum` for every tensor that is not what was written
   */
  async scan(inspect: InspectTensor): Promise<StateFileError[]> {
    const errors: StateFileError[] = [];
    for (const shard of this.#shards) {
      const { reader, header } = shard;
      for await (const { name, entry, sha256 } of reader.read(header.tensors, { keep: false, inspect })) {
        try {
          checkTensor(sha256, name, header, placeOf(shard, entry));
        } catch (error) {
          if (!(error instanceof StateFileError)) throw error;
          errors.push(error);
        }
      }
    }
    return errors;
  }

  async close(): Promise<void> {
    for (const { reader } of this.#shards) await reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #readAll(
    keep: boolean,
    { finite = false, onPart }: ReadStateOptions,
    use: (name: string, tensor: StoredTensor) => void,
  ): Promise<void> {
    for (const shard of this.#shards) {
      const { reader, header } = shard;
      const inspect = (name: string, { dtype }: TensorInfo, part: Uint8Array, start: number): void => {
        onPart?.(name);
        if (finite) requireFinite(name, dtype, part, reader.file, (start * 8) / elementBits(dtype));
      };
      const options = finite || onPart !== undefined ? { keep, inspect } : { keep };
      for await (const { name, entry, sha256, bytes } of reader.read(header.tensors, options)) {
        checkTensor(sha256, name, header, placeOf(shard, entry));
        use(name, { dtype: entry.dtype, shape: entry.shape, bytes });
      }
    }
  }
}

interface Shard {
  readonly reader: TensorReader;
  readonly header: SealedStateHeader;
}

async function openShard(file: string, fileSystem: FileSystem): Promise<Shard> {
  const reader = await TensorReader.open(file, fileSystem);
  try {
    return { reader, header: parseStateHeader(reader.header, reader.dataLength, file, sha256) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Reads and checks an index. */
export async function readIndex(file: string, fileSystem: FileSystem): Promise<ShardIndex> {
  const handle = await openRegularFile(file, fileSystem);
  try {
    const { size } = await handle.stat();
    if (size > MAX_HEADER_BYTES) {
      throw new StateFileError('header-too-large', `the index has ${size} bytes, more than ${MAX_HEADER_BYTES}`, {
        file,
      });
    }
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, file);
    return parseIndex(bytes, file, sha256);
  } catch (error) {
    throw fileError(error, 'cannot-read', file);
  } finally {
    await handle.close();
  }
}

/** Shards must be those that the index was written for, and contain what it says. */
function checkShards(shards: readonly Shard[], index: ShardIndex, file: string): void {
  let totalSize = 0;
  let count = 0;
  for (const { reader, header } of shards) {
    const name = basename(reader.file);
    const mismatch = (problem: string, tensor?: string): never => {
      throw new StateFileError('shard-mismatch', problem, { file: reader.file, tensor });
    };
    if (header.sha256 !== index.shards.get(name)) mismatch(`it is not the shard that ${file} was written for`);
    if (header.document !== shards[0].header.document) mismatch("its document differs from the first shard's");
    for (const tensor of header.tensors.keys()) {
      if (index.tensors.get(tensor) !== name) mismatch(`${file} does not say that it is in this shard`, tensor);
    }
    totalSize += reader.dataLength;
    count += header.tensors.size;
  }
  if (count !== index.tensors.size || totalSize !== index.totalSize) {
    const problem = `it names ${index.tensors.size} tensors of ${index.totalSize} bytes, its shards have ${count} of ${totalSize}`;
    throw new StateFileError('shard-mismatch', problem, { file });
  }
}

function locations({ reader, header }: Shard): [string, TensorLocation][] {
  return [...header.tensors].map(([name, { dtype, shape, begin, end }]) => [
    name,
    { dtype, shape, file: reader.file, offset: reader.dataStart + begin, byteLength: end - begin },
  ]);
}

function placeOf({ reader }: Shard, { begin }: TensorEntry): Place {
  return { file: reader.file, offset: reader.dataStart + begin };
}

async function exists(path: string, fileSystem: FileSystem): Promise<boolean> {
  try {
    return (await statusOf(path, (name) => fileSystem.stat(name))) !== undefined;
  } catch (error) {
    throw fileError(error, 'cannot-read', path);
  }
}
