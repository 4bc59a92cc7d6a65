import { basename, dirname, join } from 'node:path';
import { fileError, followLinks, requirePlace, statusOf, systemErrorCode, writeFully } from './file-access.js';
import { disk, type FileOptions, type FileStatus, type FileSystem, type OpenFile } from './file-system.js';
import { forget, release, removeStale, reserve } from './temporary-files.js';

/**
 * A file that appears under its name complete and durable, or not at all: it is written beside it under a temporary
 * name, flushed to the disk, renamed, and the directory is flushed. What it replaces passes on its permissions and
 * owner; of a symbolic link, what it points to is replaced.
 */
export class AtomicFile {
  /** What it will be, symbolic links followed. */
  readonly path: string;
  readonly handle: OpenFile;
  /** Its name until then. */
  readonly #name: string;
  readonly #fileSystem: FileSystem;

  private constructor(path: string, handle: OpenFile, name: string, fileSystem: FileSystem) {
    this.path = path;
    this.handle = handle;
    this.#name = name;
    this.#fileSystem = fileSystem;
  }

  /** @param like permissions and owner; by default those of the file that is replaced */
  static async create(path: string, fileSystem: FileSystem, like?: FileStatus): Promise<AtomicFile> {
    try {
      const target = await followLinks(path, fileSystem);
      const status = like ?? (await statusOf(target, (name) => fileSystem.stat(name)));
      const name = reserve({ target: basename(target), kind: 'tmp' }, fileSystem);
      const temporary = join(dirname(target), name);
      try {
        const handle = await fileSystem.open(temporary, 'wx', permissions(status));
        const file = new AtomicFile(target, handle, name, fileSystem);
        if (status !== undefined) await file.#resemble(status);
        return file;
      } catch (error) {
        await release(temporary, name, fileSystem);
        throw error;
      }
    } catch (error) {
      throw fileError(error, 'cannot-write', path);
    }
  }

  /**
   * Puts the file under its name, in place of what was there.
   *
   * @param name another name in the same directory
   */
  async commit(name = basename(this.path)): Promise<void> {
    const path = join(dirname(this.path), name);
    try {
      await this.handle.sync();
      await this.handle.close();
      await this.#fileSystem.rename(this.#temporary, path);
      forget(this.#name);
      await syncDirectory(dirname(path), this.#fileSystem);
    } catch (error) {
      await this.abandon();
      throw fileError(error, 'cannot-write', path);
    }
  }

  /** Removes what has been written. Does nothing after {@link commit}. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(ignore);
    await release(this.#temporary, this.#name, this.#fileSystem);
  }

  get #temporary(): string {
    return join(dirname(this.path), this.#name);
  }

  async #resemble({ mode, uid, gid }: FileStatus): Promise<void> {
    try {
      const own = await this.handle.stat();
      // Only the superuser may give a file away; what somebody else writes becomes theirs.
      if (own.uid !== uid || own.gid !== gid) await this.handle.chown(uid, gid).catch(ignoreNotPermitted);
      // Opening has taken away what the process's umask says.
      if ((own.mode & PERMISSIONS) !== (mode & PERMISSIONS)) await this.handle.chmod(mode & PERMISSIONS);
    } catch (error) {
      await this.handle.close().catch(ignore);
      throw error;
    }
  }
}

const PERMISSIONS = 0o777;

function permissions(status: FileStatus | undefined): number {
  return status === undefined ? 0o666 : status.mode & PERMISSIONS;
}

/**
 * Writes a whole file that appears under its name complete and durable, or not at all.
 *
 * @param content all of it, or pieces to be written one after the other
 * @throws StateFileError `cannot-write`; the old file is still there then, or the new one
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array>,
  options: FileOptions = {},
): Promise<void> {
  requirePlace('cannot-write', 'a file is written to', path, options);
  const { fileSystem = disk } = options;
  await createStandaloneFile(path, fileSystem, async ({ handle }) => {
    let position = 0;
    for (const piece of piecesOf(content)) {
      await writeFully(handle, piece, position);
      position += piece.length;
    }
  });
}

/** As {@link createFile} for a file that belongs to no other; removes first what killed writers left in the directory. */
export async function createStandaloneFile(
  path: string,
  fileSystem: FileSystem,
  write: (file: AtomicFile) => Promise<unknown>,
): Promise<void> {
  try {
    await removeStale(dirname(await followLinks(path, fileSystem)), fileSystem);
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  }
  await createFile(path, fileSystem, write);
}

/** Creates a file atomically with what `write` puts into it. */
export async function createFile(
  path: string,
  fileSystem: FileSystem,
  write: (file: AtomicFile) => Promise<unknown>,
  like?: FileStatus,
): Promise<void> {
  const file = await AtomicFile.create(path, fileSystem, like);
  try {
    await write(file);
  } catch (error) {
    await file.abandon();
    throw fileError(error, 'cannot-write', path);
  }
  await file.commit();
}

function piecesOf(content: string | Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  if (typeof content === 'string') return [Buffer.from(content)];
  return content instanceof Uint8Array ? [content] : content;
}

/** Makes renamed and removed names in a directory durable. */
export async function syncDirectory(directory: string, fileSystem: FileSystem): Promise<void> {
  let handle: OpenFile | undefined;
  try {
    handle = await fileSystem.open(directory, 'r');
    await handle.sync();
  } catch (error) {
    // Windows can neither open nor flush a directory, and does not need it.
    if (process.platform !== 'win32') throw error;
  } finally {
    await handle?.close();
  }
}

function ignore(): void {
  // A file that cannot be closed any more needs no care.
}

function ignoreNotPermitted(error: unknown): void {
  if (systemErrorCode(error) !== 'EPERM') throw error;
}
