import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { requirePlace, systemErrorCode } from './file-access.js';

/**
 * Makes a folder and those above it. Node's own way (`recursive`) never ends where the system has no folder to make, as in
 * `/proc`.
 *
 * @returns the topmost one made; undefined if it was there
 * @throws the system's error, such as `ENOTDIR` below a file
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  requirePlace('cannot-write', 'a folder is made at', path);
  const missing: string[] = [];
  for (let at = resolve(path); !(await isThere(at)); at = dirname(at)) missing.unshift(at);
  // What is there and is no folder is an error, as any other.
  for (const folder of missing.length === 0 ? [resolve(path)] : missing) await makeOne(folder);
  return missing.at(0);
}

async function makeOne(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if (systemErrorCode(error) !== 'EEXIST' || !(await isFolder(folder))) throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await isThere(path)) && (await stat(path)).isDirectory();
}
