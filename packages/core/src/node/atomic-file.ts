import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileError, systemErrorCode, writeFully } from './file-access.js';

/**
 * A file that appears under its name complete and durable, or not at all: it is written beside it under a temporary
 * name, flushed to the disk, renamed, and the directory is flushed.
 */
export class AtomicFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #temporary: string;

  private constructor(path: string, handle: FileHandle, temporary: string) {
    this.path = path;
    this.handle = handle;
    this.#temporary = temporary;
  }

  static async create(path: string): Promise<AtomicFile> {
    const unique = randomBytes(6).toString('hex');
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${processSpace()}-${unique}${SUFFIX}`);
    try {
      return new AtomicFile(path, await open(temporary, 'wx'), temporary);
    } catch (error) {
      throw fileError(error, 'cannot-write', path);
    }
  }

  /** Puts the file under its name, in place of what was there. */
  async commit(): Promise<void> {
    try {
      await this.handle.sync();
      await this.handle.close();
      await rename(this.#temporary, this.path);
      await syncDirectory(dirname(this.path));
    } catch (error) {
      await this.abandon();
      throw fileError(error, 'cannot-write', this.path);
    }
  }

  /** Removes what has been written. Does nothing after {@link commit}. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(ignore);
    await unlink(this.#temporary).catch(ignore);
  }
}

/**
 * Writes a whole file that appears under its name complete and durable, or not at all.
 *
 * @param content all of it, or pieces to be written one after the other
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array>,
): Promise<void> {
  const file = await AtomicFile.create(path);
  try {
    const pieces = typeof content === 'string' ? [Buffer.from(content)] : piecesOf(content);
    let position = 0;
    for (const piece of pieces) {
      await writeFully(file.handle, piece, position);
      position += piece.length;
    }
  } catch (error) {
    await file.abandon();
    throw fileError(error, 'cannot-write', path);
  }
  await file.commit();
}

function piecesOf(content: Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  return content instanceof Uint8Array ? [content] : content;
}

/** Makes renamed and removed names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(directory, 'r');
    await handle.sync();
  } catch (error) {
    // Windows can neither open nor flush a directory, and does not need it.
    if (process.platform !== 'win32') throw error;
  } finally {
    await handle?.close();
  }
}

/**
 * Removes temporary files whose writer is gone: the process they name is dead, or nobody has written to them for a day.
 * Files of living processes are left alone, those of other machines and containers too.
 */
export async function removeStale(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const match = TEMPORARY.exec(name);
    if (match === null) continue;
    const [, pid, space] = match;
    const path = join(directory, name);
    const dead = space === processSpace() && !isAlive(Number(pid));
    if (dead || (await untouchedSince(path)) > DAY_MS) await unlink(path).catch(ignore);
  }
}

const SUFFIX = '.adakit-tmp';
const TEMPORARY = /^\..+\.(\d+)-([0-9a-f]{8})-[0-9a-f]{12}\.adakit-tmp$/;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Process numbers mean something only on one machine and, on Linux, in one namespace. */
function processSpace(): string {
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux: one space a machine.
  }
  return createHash('sha256').update(`${hostname()} ${namespace}`).digest('hex').slice(0, 8);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ESRCH';
  }
}

async function untouchedSince(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
  } catch {
    return 0; // Gone already.
  }
}

function ignore(): void {
  // A file that cannot be closed or removed any more needs no care.
}
