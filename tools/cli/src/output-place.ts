import { closeSync, openSync, statSync, unlinkSync, type Stats } from 'node:fs';
import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { makeFolder } from '@adakit/state/node';
import { UsageError } from './usage-error.js';

/**
 * Says before any work is done whether a file can be written where an option wants it.
 *
 * @throws UsageError for a folder in its place, and for a folder around it that is not there or takes no files
 */
export function requireFolderOf(option: string, file: string): void {
  const around = dirname(file);
  const isThere = isFolder(around);
  if (isThere !== true) {
    const problem = isThere === undefined ? `there is no folder ${around}; make it first` : `${around} is a file`;
    throw new UsageError(`${option} ${file}: ${problem}`);
  }
  const there = found(file);
  if (there?.isDirectory() === true) throw new UsageError(`${option} ${file} is a folder; name a file in it`);
  // Pipes and devices are written to as they are.
  if (there === undefined || there.isFile()) requireWritable(option, file, around);
}

/**
 * Says before any work is done whether there can be a folder where an option wants it. None is left there.
 *
 * @throws UsageError for a file in its place, and for a folder that cannot be made or takes no files
 */
export async function requireFolder(option: string, folder: string): Promise<void> {
  if (isFolder(folder) === false) throw new UsageError(`${option} ${folder} is a file; name a folder`);
  let made: string | undefined;
  try {
    made = await makeFolder(folder);
  } catch (error) {
    throw new UsageError(`${option} ${folder}: the folder cannot be made: ${reasonOf(error)}`, { cause: error });
  }
  try {
    requireWritable(option, folder, folder);
  } finally {
    if (made !== undefined) await rm(made, { recursive: true });
  }
}

/** Whether two paths lead to the same file, by links as well. Neither need be there. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => realpath(path).catch(() => resolve(path))));
  return first === second;
}

/** @throws UsageError where no file can be made in a folder */
function requireWritable(option: string, path: string, folder: string): void {
  const trial = join(folder, `.${basename(path)}.${process.pid}.trial`);
  try {
    closeSync(openSync(trial, 'wx'));
    unlinkSync(trial);
  } catch (error) {
    throw new UsageError(`${option} ${path}: no file can be written in ${folder}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** `ENOENT: no such file or directory`. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/, \w+ '.*'$/s, '') : String(error);
}

const isFolder = (path: string): boolean | undefined => found(path)?.isDirectory();

/** Undefined for what is not there, below a file as well. */
function found(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return undefined;
    throw error;
  }
}
