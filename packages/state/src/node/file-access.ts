import { createHash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { kindOf } from '@adakit/core';
import { kinds, type OptionKind } from '@adakit/core/states';
import { requireOptions } from '../file/given.js';
import { StateFileError, type StateFileErrorCode } from '../file/error.js';
import type { FileOptions, FileStatus, FileSystem, OpenFile } from './file-system.js';

/** Files are read and written this many bytes at a time: few calls, and still in the processor's cache when hashed. */
export const CHUNK_BYTES = 2 ** 20;
/** Tensors smaller than this share a chunk with their neighbours. */
export const PACKED_BYTES = 2 ** 18;

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What to do about failures of the operating system, by its code. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space and try again',
  EDQUOT: "this user's share of the disk is used up; free some space and try again",
  EFBIG: 'the file system takes no file as large as this; write it in shards',
  EACCES: 'this user may not; change the permissions of the file and its directory, or choose another place',
  EPERM: 'this user may not; change the permissions of the file and its directory, or choose another place',
  EROFS: 'the file system can only be read; choose another place',
  EIO: "the disk has failed; look into the system's log, and choose another one",
  ENOENT: 'the directory does not exist; make it first',
  ENOTDIR: 'a part of the path is a file; choose another one',
  EISDIR: 'there is a directory of this name; choose another one',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ELOOP: 'symbolic links go round in a circle; correct them',
  EMFILE: 'too many files are open; close some, or raise the limit (ulimit -n)',
  ENFILE: 'too many files are open; close some, or raise the limit of the system',
  EBUSY: 'another program has it open; close that and try again',
};

/** A failure of the operating system as an error that names the file and says what to do. */
export function fileError(error: unknown, code: StateFileErrorCode, file: string): StateFileError {
  if (error instanceof StateFileError) return error;
  const systemCode = systemErrorCode(error);
  if (systemCode === 'ENOENT' && code === 'cannot-read') {
    return new StateFileError('file-not-found', 'there is no such file', { file }, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  const known = systemCode !== undefined && Object.hasOwn(REMEDIES, systemCode);
  return new StateFileError(code, known ? `${REMEDIES[systemCode]} (${reason})` : reason, { file }, { cause: error });
}

/** {@link FileOptions}, as they may be. */
export const FILE_OPTIONS: Readonly<Record<keyof FileOptions, OptionKind>> = { fileSystem: kinds.object };

/** @throws StateFileError for what is no path, AdakitError `invalid-plan` for options that there are not, or of another kind */
export function requirePlace(
  code: StateFileErrorCode,
  what: string,
  path: unknown,
  options: unknown = {},
  known: Readonly<Record<string, OptionKind>> = FILE_OPTIONS,
): void {
  if (typeof path !== 'string') throw new StateFileError(code, `${what} a path, got ${kindOf(path)}`);
  requireOptions(path, options, known);
}

/** `ENOENT` and the like; undefined for other errors. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Opens a file for reading; a pipe or a device could wait for ever. */
export async function openRegularFile(file: string, fileSystem: FileSystem): Promise<OpenFile> {
  try {
    if (!(await fileSystem.stat(file)).isFile()) {
      throw new StateFileError('not-a-file', 'it is not a regular file', { file });
    }
    return await fileSystem.open(file, 'r');
  } catch (error) {
    throw fileError(error, 'cannot-read', file);
  }
}

/** Node moves fewer than 2 GiB at once. */
const LONGEST_TRANSFER = 2 ** 30;

const nextLength = (bytes: Uint8Array, done: number) => Math.min(bytes.length - done, LONGEST_TRANSFER);

/** Fills `bytes` from the file. */
export async function readFully(handle: OpenFile, bytes: Uint8Array, position: number, file: string): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, nextLength(bytes, done), position + done);
    if (bytesRead === 0) {
      const offset = position + done;
      throw new StateFileError('truncated-data', 'the file has become shorter while it was read', { file, offset });
    }
    done += bytesRead;
  }
}

/** Writes all of `bytes` to the file. */
export async function writeFully(handle: OpenFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, nextLength(bytes, done), position + done);
    if (bytesWritten === 0) throw new Error('the file system takes no more bytes, and does not say why');
    done += bytesWritten;
  }
}

/** Follows symbolic links from a name to the file that it stands for, which need not exist. */
export async function followLinks(path: string, fileSystem: FileSystem): Promise<string> {
  let target = path;
  for (let links = 0; links < MOST_LINKS; links++) {
    if (!(await isLink(target, fileSystem))) return target;
    target = resolve(dirname(target), await fileSystem.readlink(target));
  }
  throw Object.assign(new Error(`ELOOP: too many symbolic links, open '${path}'`), { code: 'ELOOP' });
}

/** As many as Linux follows. */
const MOST_LINKS = 40;

async function isLink(path: string, fileSystem: FileSystem): Promise<boolean> {
  return (await statusOf(path, (name) => fileSystem.lstat(name)))?.isSymbolicLink() ?? false;
}

/** The status of a file; undefined if there is none. */
export async function statusOf(path: string, stat: FileSystem['stat']): Promise<FileStatus | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
