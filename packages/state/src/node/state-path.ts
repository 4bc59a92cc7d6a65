import { basename, dirname, join } from 'node:path';
import type { FileSystem } from './file-system.js';

const EXTENSION = '.safetensors';
const INDEX_EXTENSION = `${EXTENSION}.index.json`;

/** The files that a state may consist of: one, or an index and shards. */
export interface StatePath {
  readonly directory: string;
  /** The name without extension. */
  readonly stem: string;
  /** The file of a state that is in one. */
  readonly single: string;
  /** The index of a state that is in shards. */
  readonly index: string;
}

/** @param path the single file or the index, whether it exists or not */
export function statePath(path: string): StatePath {
  const directory = dirname(path);
  const name = basename(path);
  const extension = [INDEX_EXTENSION, EXTENSION].find((end) => name.endsWith(end) && name !== end) ?? '';
  const stem = name.slice(0, name.length - extension.length);
  const single = join(directory, extension === '' ? name : stem + EXTENSION);
  return { directory, stem, single, index: join(directory, stem + INDEX_EXTENSION) };
}

/** Whether `path` names an index. */
export function isIndexPath(path: string): boolean {
  return path.endsWith(INDEX_EXTENSION);
}

/**
 * Name of shard `number` of `count`, both counted from 1. A second generation of shards exists beside the first while
 * a state in shards is replaced by another.
 */
export function shardName(stem: string, number: number, count: number, generation: number): string {
  const digits = (n: number): string => String(n).padStart(5, '0');
  const suffix = generation === 1 ? '' : `.${generation}`;
  return `${stem}-${digits(number)}-of-${digits(count)}${suffix}${EXTENSION}`;
}

/** Shards beside a state's path, whether an index names them or not: their file names and generations. */
export async function shardsBeside(
  { directory, stem }: StatePath,
  fileSystem: FileSystem,
): Promise<{ name: string; generation: number }[]> {
  const names = await fileSystem.readdir(directory);
  return names.flatMap((name) => {
    const shard = SHARD.exec(name);
    return shard?.[1] === stem ? [{ name, generation: Number(shard.at(2) ?? 1) }] : [];
  });
}

const SHARD = /^(.+)-\d{5}-of-\d{5}(?:\.(\d+))?\.safetensors$/s;
