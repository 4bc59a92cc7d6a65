import { basename, dirname } from 'node:path';
import type { FileStatus, FileSystem, OpenFile } from '../node/file-system.js';
import type { Processes, Writer } from '../node/processes.js';

/** A call to the file system, `sync /d/a.safetensors` for instance. */
export interface Call {
  readonly operation: string;
  readonly path: string;
}

/** What happens instead of a call: an error with this code, or the end of the process before it. */
export type Fault = { readonly code: string } | 'end';

class File {
  /** As processes see it. */
  bytes = new Uint8Array();
  /** What is left of it without power. */
  durable = new Uint8Array();
  mode = 0o644;
  mtimeMs = Date.now();
}

/** Names of a directory that change together. */
type Change = ReadonlyMap<string, File | undefined>;

/** What several processes share: one directory of files, and what of it is on the disk. */
class Storage {
  names = new Map<string, File>();
  /** Names that are on the disk for certain. */
  durable = new Map<string, File>();
  /** What has changed since. */
  changes: Change[] = [];
  /** Bytes of all files together; writing more fails with ENOSPC. */
  capacity = Infinity;
  readonly ended = new Set<number>();
  processes = 0;

  change(change: Change): void {
    for (const [name, file] of change) {
      if (file === undefined) this.names.delete(name);
      else this.names.set(name, file);
    }
    this.changes.push(change);
  }

  get used(): number {
    return [...new Set(this.names.values())].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}

/** Thrown by every call of a process that has ended; nothing it does any more reaches the disk. */
export class Ended extends Error {
  override readonly name = 'Ended';
}

/**
 * A directory on a simulated disk, as one process sees it. A disk keeps what was flushed and may lose all else: the
 * contents of a file without `sync`, and any of the names that were made, changed or removed since the last `sync` of
 * the directory.
 */
export class SimulatedDisk implements FileSystem {
  /** Every call made, failed ones included. */
  readonly calls: Call[] = [];
  /** Asked before every call. */
  fault: (call: Call, index: number) => Fault | undefined = () => undefined;
  /** The most bytes that a call reads or writes. */
  longestTransfer = Infinity;
  readonly processes: Processes;
  readonly #storage: Storage;
  #ended = false;

  constructor(storage = new Storage()) {
    this.#storage = storage;
    const process = ++storage.processes;
    const self: Writer = { process, start: 1, space: '00000000', thread: process.toString(16).padStart(12, '0') };
    this.processes = {
      self,
      statusOf: (writer) =>
        writer.space !== self.space ? 'unknown' : storage.ended.has(writer.process) ? 'ended' : 'running',
    };
  }

  set capacity(bytes: number) {
    this.#storage.capacity = bytes;
  }

  /** Bytes in files. */
  get used(): number {
    return this.#storage.used;
  }

  /** All bytes of a file. */
  async contents(path: string): Promise<Uint8Array> {
    return (await Promise.resolve(this.#find(path))).bytes;
  }

  get names(): string[] {
    return [...this.#storage.names.keys()].sort();
  }

  /** Another process on the same disk. */
  beside(): SimulatedDisk {
    return new SimulatedDisk(this.#storage);
  }

  /** This process ends, as by `kill -9`. @returns the next one */
  end(): SimulatedDisk {
    this.#ended = true;
    this.#storage.ended.add(this.processes.self.process);
    return this.beside();
  }

  /**
   * The machine loses power.
   *
   * @param keeps whether the disk has got round to a change of names that nobody has flushed: its number since the last
   * flush, and whether it only removes one
   * @returns a process after the restart
   */
  losePower(keeps: (change: number, removes: boolean) => boolean): SimulatedDisk {
    this.end();
    const { durable, changes } = this.#storage;
    changes.forEach((change, index) => {
      if (
        !keeps(
          index,
          [...change.values()].every((file) => file === undefined),
        )
      )
        return;
      for (const [name, file] of change) {
        if (file === undefined) durable.delete(name);
        else durable.set(name, file);
      }
    });
    for (const file of durable.values()) file.bytes = file.durable.slice();
    this.#storage.names = new Map(durable);
    this.#storage.changes = [];
    return this.beside();
  }

  async open(path: string, flags: 'r' | 'wx', mode = 0o666): Promise<OpenFile> {
    await this.#call(flags === 'r' ? 'open' : 'create', path);
    if (path === DIRECTORY) return this.#directory();
    if (flags === 'wx') {
      if (this.#storage.names.has(basename(path))) throw systemError('EEXIST', path);
      const file = new File();
      file.mode = mode & 0o755;
      this.#storage.change(new Map([[basename(path), file]]));
      return this.#file(path, file);
    }
    return this.#file(path, this.#find(path));
  }

  async stat(path: string): Promise<FileStatus> {
    await this.#call('stat', path);
    return path === DIRECTORY ? { ...status(new File()), isFile: () => false } : status(this.#find(path));
  }

  async lstat(path: string): Promise<FileStatus> {
    await this.#call('lstat', path);
    return status(this.#find(path));
  }

  async readlink(path: string): Promise<string> {
    await this.#call('readlink', path);
    throw systemError('EINVAL', path);
  }

  async readdir(path: string): Promise<string[]> {
    await this.#call('readdir', path);
    return this.names;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call('rename', to);
    const file = this.#find(from);
    this.#storage.change(
      new Map([
        [basename(from), undefined],
        [basename(to), file],
      ]),
    );
  }

  async unlink(path: string): Promise<void> {
    await this.#call('unlink', path);
    this.#find(path);
    this.#storage.change(new Map([[basename(path), undefined]]));
  }

  async mkdir(path: string): Promise<undefined> {
    await this.#call('mkdir', path);
  }

  #find(path: string): File {
    const file = dirname(path) === DIRECTORY ? this.#storage.names.get(basename(path)) : undefined;
    if (file === undefined) throw systemError('ENOENT', path);
    return file;
  }

  async #call(operation: string, path: string): Promise<void> {
    await Promise.resolve();
    if (this.#ended) throw new Ended();
    const call = { operation, path };
    const fault = this.fault(call, this.calls.push(call) - 1);
    if (fault === undefined) return;
    if (fault !== 'end') throw systemError(fault.code, path);
    this.end();
    throw new Ended();
  }

  #file(path: string, file: File): OpenFile {
    return {
      read: async (bytes, offset, length, position) => {
        await this.#call('read', path);
        const part = file.bytes.subarray(position, position + Math.min(length, this.longestTransfer));
        bytes.set(part, offset);
        return { bytesRead: part.length };
      },
      write: async (bytes, offset, length, position) => {
        await this.#call('write', path);
        const end = Math.min(position + Math.min(length, this.longestTransfer), this.#reach(file));
        if (end <= position) throw systemError('ENOSPC', path);
        const grown = new Uint8Array(Math.max(file.bytes.length, end));
        grown.set(file.bytes);
        grown.set(bytes.subarray(offset, offset + end - position), position);
        file.bytes = grown;
        file.mtimeMs = Date.now();
        return { bytesWritten: end - position };
      },
      stat: async () => {
        await this.#call('fstat', path);
        return status(file);
      },
      chmod: async (mode) => {
        await this.#call('chmod', path);
        file.mode = mode;
      },
      chown: async () => {
        await this.#call('chown', path);
      },
      datasync: () => this.#sync('datasync', path, file),
      sync: () => this.#sync('sync', path, file),
      close: () => this.#call('close', path),
    };
  }

  /** How long a file can become. */
  #reach(file: File): number {
    return file.bytes.length + this.#storage.capacity - this.#storage.used;
  }

  async #sync(operation: string, path: string, file: File): Promise<void> {
    await this.#call(operation, path);
    file.durable = file.bytes.slice();
  }

  #directory(): OpenFile {
    const unsupported = (): Promise<never> => Promise.reject(systemError('EISDIR', DIRECTORY));
    return {
      read: unsupported,
      write: unsupported,
      stat: unsupported,
      chmod: unsupported,
      chown: unsupported,
      datasync: unsupported,
      sync: async () => {
        await this.#call('sync', DIRECTORY);
        this.#storage.durable = new Map(this.#storage.names);
        this.#storage.changes = [];
      },
      close: () => this.#call('close', DIRECTORY),
    };
  }
}

/** The only directory there is. */
export const DIRECTORY = '/d';

function status({ bytes, mode, mtimeMs }: File): FileStatus {
  const where = { dev: 1, ino: 1, uid: 0, gid: 0 };
  return { ...where, size: bytes.length, mode, mtimeMs, isFile: () => true, isSymbolicLink: () => false };
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, '${path}'`), { code, path });
}
