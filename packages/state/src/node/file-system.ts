import { fdatasync, fsync } from 'node:fs';
import { lstat, open, readdir, readlink, rename, stat, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { makeFolder } from './make-folder.js';
import { systemProcesses, type Processes } from './processes.js';

/** What is known of a file without opening it. */
export interface FileStatus {
  readonly size: number;
  /** Type and permissions, as `st_mode` has them. */
  readonly mode: number;
  /** Of the disk that it is on. */
  readonly dev: number;
  /** Its number there. */
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  /** Last change of the contents, in milliseconds since 1970. */
  readonly mtimeMs: number;
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

/** An open file; Node's `FileHandle` is one. Reading and writing may transfer fewer bytes than asked. */
export interface OpenFile {
  read(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<FileStatus>;
  chmod(mode: number): Promise<void>;
  chown(uid: number, gid: number): Promise<void>;
  /** Resolves when what has been written is on the disk. */
  datasync(): Promise<void>;
  /** As {@link datasync}, and what describes the file; of a directory its names. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * All that states need of the operating system, as `node:fs/promises` has it. What is written for one file system can
 * be tried on another whose calls fail, whose disk is full or whose power goes off between any two of them.
 */
export interface FileSystem {
  /** @param flags `r` to read, `wx` to write a file that must not exist */
  open(path: string, flags: 'r' | 'wx', mode?: number): Promise<OpenFile>;
  stat(path: string): Promise<FileStatus>;
  lstat(path: string): Promise<FileStatus>;
  readlink(path: string): Promise<string>;
  readdir(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes a directory and those above it. @returns the topmost one made; undefined if it was there */
  mkdir(path: string, options: { readonly recursive: true }): Promise<string | undefined>;
  readonly processes: Processes;
}

/** Options of everything that reads and writes files. */
export interface FileOptions {
  /** Where the files are. Default: this machine's disks. */
  readonly fileSystem?: FileSystem;
}

/** The file system of this machine. */
export const disk: FileSystem = {
  open: openFile,
  stat,
  lstat,
  readlink,
  readdir: (path) => readdir(path),
  rename,
  unlink,
  mkdir: makeFolder,
  processes: systemProcesses,
};

/** Node's file, flushed by its descriptor: Yarn's Plug'n'Play puts files in the place of Node's that cannot be flushed. */
async function openFile(path: string, flags: 'r' | 'wx', mode?: number): Promise<OpenFile> {
  const handle = await open(path, flags, mode);
  const close = handle.close.bind(handle);
  let flushed: Promise<void> = Promise.resolve();
  return Object.assign(handle, {
    sync: () => (flushed = flush(handle.fd)),
    datasync: () => (flushed = flushData(handle.fd)),
    close: async () => {
      // Node does not know that the descriptor is in use, and would give it to the next file.
      await flushed.catch(() => undefined);
      await close();
    },
  });
}

const flush = promisify(fsync);
const flushData = promisify(fdatasync);
