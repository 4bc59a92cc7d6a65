import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { contentsOf, layoutOf, requireFinite } from '../state-file/contents.js';
import { formatDocument, type StateDocument } from '../state-file/document.js';
import { StateFileError } from '../state-file/error.js';
import {
  dataLength,
  formatHeader,
  LENGTH_BYTES,
  layOut,
  type TensorEntry,
  type TensorInfo,
} from '../state-file/header.js';
import { checkSeal } from '../state-file/seal.js';
import { formatIndex } from '../state-file/shard-index.js';
import { checkByteLength } from '../state-file/state-file.js';
import { formatStateHeader } from '../state-file/state-header.js';
import { storedByteLength } from '../state-file/stored-tensor.js';
import type { TrainingState } from '../state/training-state.js';
import { AtomicFile, removeStale, syncDirectory } from './atomic-file.js';
import { fileError, sha256, systemErrorCode, writeFully } from './file-access.js';
import { shardName, shardsBeside, statePath, type StatePath } from './state-path.js';
import { TensorReader } from './tensor-reader.js';
import { TensorWriter } from './tensor-writer.js';

/** A tensor to be written: its bytes, or where to get them when their turn comes. */
export interface TensorSource extends TensorInfo {
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** Options for writing a state file. */
export interface WriteOptions {
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

const DEFAULT_SHARD_BYTES = 4 * 2 ** 30;

/**
 * Writes a training state. Under `path` there is the old state or the new one at any moment, also after a crash; when
 * the promise resolves the new one is on the disk. One process at a time may write to a path.
 *
 * @param path usually with the extension `.safetensors`; a state in shards has its index at `<path>.index.json`
 * @throws StateFileError for a state that a file cannot hold, or `cannot-write`; the old state is still there then
 */
export async function writeState(path: string, state: TrainingState, options: WriteStateOptions = {}): Promise<void> {
  const { document, tensors } = contentsOf(state, path, options.metric);
  await writeStateFile(path, document, tensors, options);
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
  { shardBytes = DEFAULT_SHARD_BYTES, finite = false }: WriteOptions = {},
): Promise<void> {
  layoutOf(document, layOut(tensors, path), path);
  const text = formatDocument(document, { file: path });
  const target = statePath(path);
  const shards = divide(tensors, shardBytes);
  try {
    await removeStale(target.directory);
    if (shards.length === 1) await writeSingle(target, text, shards[0], finite);
    else await writeShards(target, text, shards, finite);
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  }
}

/** Removes a state with all its shards; nothing happens if there is none. */
export async function removeState(path: string): Promise<void> {
  const target = statePath(path);
  try {
    await removeIfThere(target.single);
    await removeIfThere(target.index);
    // Without an index the state is gone; shards that a crash leaves behind now are rubbish, not half a state.
    await removeShards(target, new Set());
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
): Promise<void> {
  const entries = layOut(tensors, path);
  const header = formatHeader({ tensors: entries, metadata }, path);
  try {
    await writeFile(path, async (file) => {
      await writeFully(file.handle, header, 0);
      await writeData(file, header.length, entries, tensors, false);
    });
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  }
}

async function writeSingle(target: StatePath, document: string, shard: Sources, finite: boolean): Promise<void> {
  await writeFile(target.single, (file) => writeStateTensors(file, document, shard, finite));
  // The single file counts from here on; shards of the state before are in the way no more.
  if ((await findIndex(target.index)) === 'ours') await unlink(target.index);
  await removeShards(target, new Set());
}

async function writeShards(target: StatePath, document: string, shards: Sources[], finite: boolean): Promise<void> {
  if ((await findIndex(target.index)) === 'foreign') {
    const problem = 'an index that is not of a training state has this name; choose another one';
    throw new StateFileError('cannot-write', problem, { file: target.index });
  }
  const taken = new Set((await shardsBeside(target)).map(({ generation }) => generation));
  let generation = 1;
  while (taken.has(generation)) generation++;
  const checksums = new Map<string, string>();
  const files = new Map<string, string>();
  let totalSize = 0;
  for (const [i, shard] of shards.entries()) {
    const name = shardName(target.stem, i + 1, shards.length, generation);
    await writeFile(join(target.directory, name), async (file) => {
      checksums.set(name, await writeStateTensors(file, document, shard, finite));
    });
    totalSize += dataLength(layOut(shard, name));
    for (const tensor of shard.keys()) files.set(tensor, name);
  }
  const index = formatIndex({ shards: checksums, tensors: files, totalSize }, target.index, sha256);
  await writeFile(target.index, async ({ handle }) => {
    await handle.writeFile(index);
  });
  await removeIfThere(target.single);
  await removeShards(target, new Set(checksums.keys()));
}

type Sources = ReadonlyMap<string, TensorSource>;

/** Creates a file atomically with what `write` puts into it. */
async function writeFile(path: string, write: (file: AtomicFile) => Promise<unknown>): Promise<void> {
  const file = await AtomicFile.create(path);
  try {
    await write(file);
  } catch (error) {
    await file.abandon();
    throw error;
  }
  await file.commit();
}

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

/** Removes shards of earlier states from beside a state; files of other programs stay. */
async function removeShards(target: StatePath, keep: ReadonlySet<string>): Promise<void> {
  for (const { name } of await shardsBeside(target)) {
    const path = join(target.directory, name);
    if (!keep.has(name) && (await isOurShard(path))) await removeIfThere(path);
  }
  await syncDirectory(target.directory);
}

async function isOurShard(path: string): Promise<boolean> {
  try {
    const reader = await TensorReader.open(path);
    await reader.close();
    return checkSeal(reader.header, '__metadata__', sha256) !== 'missing';
  } catch {
    return false;
  }
}

/** Whether an index is there and, whole or broken, of a state. */
async function findIndex(path: string): Promise<'none' | 'ours' | 'foreign'> {
  try {
    return checkSeal(await readFile(path), 'metadata', sha256) === 'missing' ? 'foreign' : 'ours';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'none';
    throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}
