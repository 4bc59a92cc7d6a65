import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UsageError } from './usage-error.js';

/**
 * Says before any work is done whether a file can be written where an option wants it.
 *
 * @throws UsageError for a folder in its place, and for a folder around it that is not there
 */
export function requireFolderOf(option: string, file: string): void {
  const around = dirname(file);
  const found = isFolder(around);
  if (found !== true) {
    const problem = found === undefined ? `there is no folder ${around}; make it first` : `${around} is a file`;
    throw new UsageError(`${option} ${file}: ${problem}`);
  }
  if (isFolder(file) === true) throw new UsageError(`${option} ${file} is a folder; name a file in it`);
}

/** @throws UsageError for a file where an option wants a folder, which is made where there is none */
export function requireFolder(option: string, folder: string): void {
  if (isFolder(folder) === false) throw new UsageError(`${option} ${folder} is a file; name a folder`);
}

const isFolder = (path: string): boolean | undefined => statSync(path, { throwIfNoEntry: false })?.isDirectory();
