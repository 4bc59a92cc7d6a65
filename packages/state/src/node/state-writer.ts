import { join } from 'node:path';
import type { TrainingState } from '@adakit/core';
import { kinds, type OptionKind } from '@adakit/core/states';
import { contentsOf, layoutOf, requireFinite } from '../file/contents.js';
import { formatDocument, type StateDocument } from '../file/document.js';
import { StateFileError } from '../file/error.js';
import { requireTensorMap } from '../file/given.js';
import {
  dataLength,
  formatHeader,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  layOut,
  type TensorEntry,
  type TensorInfo,
} from '../file/header.js';
import { checkSeal } from '../file/seal.js';
import { formatIndex } from '../file/shard-index.js';
import { checkByteLength } from '../file/state-file.js';
import { formatStateHeader } from '../file/state-header.js';
import { storedByteLength } from '../file/stored-tensor.js';
import { createFile, createStandaloneFile, syncDirectory, type AtomicFile } from './atomic-file.js';
import { exclusively } from './exclusive.js';
import {
  FILE_OPTIONS,
  fileError,
  openRegularFile,
  readFully,
  requirePlace,
  sha256,
  statusOf,
  systemErrorCode,
  writeFully,
} from './file-access.js';
import { disk, type FileOptions, type FileStatus, type FileSystem } from './file-system.js';
import { shardName, shardsBeside, type StatePath } from './state-path.js';
import { readIndex, stateTarget } from './state-reader.js';
import { TensorReader } from './tensor-reader.js';
import { TensorWriter } from './tensor-writer.js';

/** A tensor to be written: its bytes, or where to get them when their turn comes. */
export interface TensorSource extends TensorInfo {
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** Options for writing a state file. */
export interface WriteOptions extends FileOptions {
  /** A state with more bytes of tensors is written in shards of at most this size, or of one tensor. Default: 4 GiB. */
  readonly shardBytes?: number;
  /** Refuse infinities and NaN in parameters and slots. Default: false. */
  readonly finite?: boolean;
}

/** Options for writing a training state. */
export interface WriteStateOptions extends WriteOptions {
  /** How good the state is, e.g. the validation loss; kept with it. */
  readonly metric?: number;
}

/** {@link WriteOptions}, as they may be. */
export const WRITE_OPTIONS: Readonly<Record<keyof WriteOptions, OptionKind>> = {
  ...FILE_OPTIONS,
  shardBytes: kinds.limit,
  finite: kinds.flag,
};
const DEFAULT_SHARD_BYTES = 4 * 2 ** 30;

/**
 * Writes a training state. Under `path` there is the old state or the new one at any moment, also after a crash; when
 * the promise resolves the new one is on the disk. Calls for one path are carried out in the order made; another
 * process that writes it at the same time is refused. What is replaced passes on its permissions and owner, and of a
 * symbolic link the target is replaced.
 *
 * @param path usually with the extension `.safetensors`; a state in shards has its index at `<path>.index.json`
 * @throws StateFileError for a state that a file cannot hold, `cannot-write` with what to do about it, `other-writer`
 */
export async function writeState(path: string, state: TrainingState, options: WriteStateOptions = {}): Promise<void> {
  requirePlace('cannot-write', 'a state is written to', path, options, { metric: kinds.number, ...WRITE_OPTIONS });
  const { metric, ...rest } = options;
  const { document, tensors } = contentsOf(state, path, metric);
  await writeStateFile(path, document, tensors, rest);
}

/**
 * As {@link writeState}, for tensors of any element type that are fetched one at a time.
 *
 * @param tensors by name in the file
 */
export async function writeStateFile(
  path: string,
  document: StateDocument,
  tensors: ReadonlyMap<string, TensorSource>,
  options: WriteOptions = {},
): Promise<void> {
  requirePlace('cannot-write', 'a state is written to', path, options, WRITE_OPTIONS);
  requireTensorMap(path, tensors);
  const { shardBytes = DEFAULT_SHARD_BYTES, finite = false, fileSystem = disk } = options;
  layoutOf(document, layOut(tensors, path), path);
  const text = formatDocument(document, { file: path });
  const shards = divide(tensors, shardBytes);
  await replacing(path, fileSystem, async (target) => {
    await removeLeftovers(target, fileSystem);
    const stat = (name: string): Promise<FileStatus> => fileSystem.stat(name);
    const like = (await statusOf(target.single, stat)) ?? (await statusOf(target.index, stat));
    if (shards.length === 1) await writeSingle(target, text, shards[0], finite, { fileSystem, like });
    else await writeShards(target, text, shards, finite, { fileSystem, like });
  });
}

/**
 * Removes a state with all its shards; nothing happens if there is none.
 *
 * @throws StateFileError `cannot-write`, or `other-writer` while another process writes it
 */
export async function removeState(path: string, options: FileOptions = {}): Promise<void> {
  requirePlace('cannot-write', 'a state is removed from', path, options);
  const { fileSystem = disk } = options;
  await replacing(path, fileSystem, async (target) => {
    const removed = [await removeIfThere(target.single, fileSystem), await removeIfThere(target.index, fileSystem)];
    // An index must not come back when its shards are gone.
    if (removed.includes(true)) await syncDirectory(target.directory, fileSystem);
    await removeLeftovers(target, fileSystem);
  });
}

/** Carries out `write` as the only one that writes the state at `path`. */
async function replacing(
  path: string,
  fileSystem: FileSystem,
  write: (target: StatePath) => Promise<void>,
): Promise<void> {
  try {
    const target = await stateTarget(path, fileSystem);
    await exclusively(target.single, fileSystem, () => write(target));
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  }
}

/**
 * Writes a safetensors file that is no training state, e.g. for another program; as safely as {@link writeState}.
 *
 * @throws StateFileError for names and shapes that a file cannot hold, or `cannot-write`
 */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, TensorSource>,
  metadata: ReadonlyMap<string, string> = new Map(),
  options: FileOptions = {},
): Promise<void> {
  requirePlace('cannot-write', 'tensors are written to', path, options);
  requireTensorMap(path, tensors);
  const { fileSystem = disk } = options;
  const entries = layOut(tensors, path);
  const header = formatHeader({ tensors: entries, metadata }, path);
  await createStandaloneFile(path, fileSystem, async (file) => {
    await writeFully(file.handle, header, 0);
    await writeData(file, header.length, entries, tensors, false);
  });
}

async function writeSingle(
  target: StatePath,
  document: string,
  shard: Sources,
  finite: boolean,
  { fileSystem, like }: Place,
): Promise<void> {
  await createFile(target.single, fileSystem, (file) => writeStateTensors(file, document, shard, finite), like);
  // The single file counts from here on; shards of the state before are in the way no more.
  if ((await findIndex(target.index, fileSystem)).kind === 'ours') await fileSystem.unlink(target.index);
  await removeLeftovers(target, fileSystem);
}

async function writeShards(
  target: StatePath,
  document: string,
  shards: Sources[],
  finite: boolean,
  { fileSystem, like }: Place,
): Promise<void> {
  if ((await findIndex(target.index, fileSystem)).kind === 'foreign') {
    const problem = 'an index that is not of a training state has this name; choose another one';
    throw new StateFileError('cannot-write', problem, { file: target.index });
  }
  const taken = new Set((await shardsBeside(target, fileSystem)).map(({ generation }) => generation));
  let generation = 1;
  while (taken.has(generation)) generation++;
  const names = shards.map((_, i) => shardName(target.stem, i + 1, shards.length, generation));
  const checksums = new Map<string, string>();
  const files = new Map<string, string>();
  let totalSize = 0;
  try {
    for (const [i, shard] of shards.entries()) {
      const name = names[i];
      const write = async (file: AtomicFile): Promise<void> => {
        checksums.set(name, await writeStateTensors(file, document, shard, finite));
      };
      await createFile(join(target.directory, name), fileSystem, write, like);
      totalSize += dataLength(layOut(shard, name));
      for (const tensor of shard.keys()) files.set(tensor, name);
    }
    const index = formatIndex({ shards: checksums, tensors: files, totalSize }, target.index, sha256);
    await createFile(target.index, fileSystem, ({ handle }) => writeFully(handle, index, 0), like);
  } catch (error) {
    // On a full disk they would take the space that the next attempt needs.
    await removeLeftovers(target, fileSystem, new Set(names)).catch(ignore);
    throw error;
  }
  if (await removeIfThere(target.single, fileSystem)) await syncDirectory(target.directory, fileSystem);
  await removeLeftovers(target, fileSystem);
}

/** Where a state is written, and what its files are to be like. */
interface Place {
  readonly fileSystem: FileSystem;
  /** Whose permissions and owner they get; those of a new file where there was no state before. */
  readonly like: FileStatus | undefined;
}

type Sources = ReadonlyMap<string, TensorSource>;

/** @returns the checksum of the header */
async function writeStateTensors(
  file: AtomicFile,
  document: string,
  sources: Sources,
  finite: boolean,
): Promise<string> {
  const tensors = layOut(sources, file.path);
  const unfilled = formatStateHeader({ tensors, checksums: new Map(), document }, file.path, sha256);
  const checksums = await writeData(file, unfilled.length, tensors, sources, finite);
  const header = formatStateHeader({ tensors, checksums, document }, file.path, sha256);
  await writeFully(file.handle, header, 0);
  return checkSeal(header.subarray(LENGTH_BYTES), '__metadata__', sha256);
}

/** @returns the checksums of the tensors */
async function writeData(
  file: AtomicFile,
  dataStart: number,
  tensors: ReadonlyMap<string, TensorEntry>,
  sources: Sources,
  finite: boolean,
): Promise<Map<string, string>> {
  const writer = new TensorWriter(file.handle, dataStart);
  const checksums = new Map<string, string>();
  for (const [name, { dtype, shape }] of tensors) {
    const source = sources.get(name)?.bytes ?? new Uint8Array();
    const bytes = typeof source === 'function' ? await source() : source;
    checkByteLength(name, { dtype, shape, bytes }, file.path);
    if (finite) requireFinite(name, dtype, bytes, file.path);
    checksums.set(name, await writer.write(bytes));
  }
  await writer.finish();
  return checksums;
}

/** Fills shard after shard, in the order given. */
function divide(tensors: Sources, shardBytes: number): Sources[] {
  const shards = [new Map<string, TensorSource>()];
  let size = 0;
  for (const [name, source] of tensors) {
    const bytes = storedByteLength(source.dtype, source.shape) ?? 0;
    if (size > 0 && size + bytes > shardBytes) {
      shards.push(new Map());
      size = 0;
    }
    shards[shards.length - 1].set(name, source);
    size += bytes;
  }
  return shards;
}

/**
 * Removes shards that the index does not name: those of states before, and of writers that were killed or failed. Files
 * of other programs stay, and so does everything beside an index that cannot be read.
 *
 * @param only to leave others alone
 */
async function removeLeftovers(target: StatePath, fileSystem: FileSystem, only?: ReadonlySet<string>): Promise<void> {
  const index = await findIndex(target.index, fileSystem);
  if (index.shards === undefined) return;
  const leftovers: string[] = [];
  for (const { name } of await shardsBeside(target, fileSystem)) {
    if (index.shards.has(name) || only?.has(name) === false) continue;
    const path = join(target.directory, name);
    if (await isOurShard(path, fileSystem)) leftovers.push(path);
  }
  if (leftovers.length === 0) return;
  // The index that is there now must not give way to one that needs them.
  await syncDirectory(target.directory, fileSystem);
  for (const path of leftovers) await removeIfThere(path, fileSystem);
}

async function isOurShard(path: string, fileSystem: FileSystem): Promise<boolean> {
  try {
    const reader = await TensorReader.open(path, fileSystem);
    await reader.close();
    return checkSeal(reader.header, '__metadata__', sha256) !== 'missing';
  } catch {
    return false;
  }
}

/** What stands under the name of an index: nothing, one of a state, whole or broken, or something else. */
type FoundIndex =
  | { readonly kind: 'none' | 'ours'; readonly shards: ReadonlyMap<string, string> }
  | { readonly kind: 'broken' | 'foreign'; readonly shards?: undefined };

async function findIndex(path: string, fileSystem: FileSystem): Promise<FoundIndex> {
  try {
    return { kind: 'ours', shards: (await readIndex(path, fileSystem)).shards };
  } catch (error) {
    if (!(error instanceof StateFileError) || error.code === 'cannot-read') throw error;
    if (error.code === 'file-not-found') return { kind: 'none', shards: new Map() };
    return { kind: (await isSealed(path, fileSystem)) ? 'broken' : 'foreign' };
  }
}

async function isSealed(path: string, fileSystem: FileSystem): Promise<boolean> {
  const handle = await openRegularFile(path, fileSystem);
  try {
    const { size } = await handle.stat();
    const bytes = new Uint8Array(Math.min(size, MAX_HEADER_BYTES));
    await readFully(handle, bytes, 0, path);
    return checkSeal(bytes, 'metadata', sha256) !== 'missing';
  } finally {
    await handle.close();
  }
}

/** @returns whether it was there */
async function removeIfThere(path: string, fileSystem: FileSystem): Promise<boolean> {
  try {
    await fileSystem.unlink(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function ignore(): void {
  // The error that comes first is the one to report.
}
