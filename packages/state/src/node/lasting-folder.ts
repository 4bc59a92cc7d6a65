import { dirname, resolve } from 'node:path';
import { StateFileError } from '../file/error.js';
import { syncDirectory } from './atomic-file.js';
import { statusOf } from './file-access.js';
import type { FileStatus, FileSystem } from './file-system.js';

/** What tells a folder from another: the disk, and its number there. */
type Identity = Pick<FileStatus, 'dev' | 'ino'>;

/**
 * A folder that is written to again and again. It is made again where somebody has removed it, on the disk that it was on: what
 * is found under the path of a disk that is not mounted any more is another folder, or the place of one.
 */
export class LastingFolder {
  /** Its absolute path: the process may go to another directory. */
  readonly path: string;
  readonly #fileSystem: FileSystem;
  #identity: Identity;

  private constructor(path: string, fileSystem: FileSystem, identity: Identity) {
    this.path = path;
    this.#fileSystem = fileSystem;
    this.#identity = identity;
  }

  /** Makes it if it is not there. @throws the system's error */
  static async open(path: string, fileSystem: FileSystem): Promise<LastingFolder> {
    const absolute = resolve(path);
    return new LastingFolder(absolute, fileSystem, await made(absolute, fileSystem));
  }

  /** Makes it again if it is gone. @throws StateFileError `cannot-write` where its disk is; the system's error */
  async ensure(): Promise<void> {
    if (!(await this.#isWhereItWas())) {
      throw new StateFileError(
        'cannot-write',
        'this is not the disk any more that it was on when it was opened; mount that again, and the next save works, ' +
          'or open a directory elsewhere',
        { file: this.path },
      );
    }
    this.#identity = await made(this.path, this.#fileSystem);
  }

  /** Whether what is there, or what it would be made in, is on its disk. */
  async #isWhereItWas(): Promise<boolean> {
    const { dev, ino } = this.#identity;
    for (let path = this.path; ; path = dirname(path)) {
      const found = await statusOf(path, (name) => this.#fileSystem.stat(name));
      // A disk that is mounted on demand may have another number every time, but the folder keeps its own.
      if (found !== undefined) return found.dev === dev || (path === this.path && found.ino === ino);
      if (path === dirname(path)) return false;
    }
  }
}

async function made(path: string, fileSystem: FileSystem): Promise<Identity> {
  const topmost = await fileSystem.mkdir(path, { recursive: true });
  if (topmost !== undefined) await syncAncestors(path, topmost, fileSystem);
  return fileSystem.stat(path);
}

/** Makes directories durable that were made on the way from `topmost` down to `directory`. */
async function syncAncestors(directory: string, topmost: string, fileSystem: FileSystem): Promise<void> {
  for (let made = resolve(directory); made.length >= resolve(topmost).length; made = dirname(made)) {
    await syncDirectory(dirname(made), fileSystem);
  }
}
