import { basename, dirname, join, resolve } from 'node:path';
import { StateFileError } from '../file/error.js';
import { fileError } from './file-access.js';
import type { FileSystem } from './file-system.js';
import { idleTime, isLockOn, release, removeStale, reserve } from './temporary-files.js';

/**
 * Carries out a task that writes `path` and the files that go with it, one at a time: those of this thread in the order
 * made, while those of other threads and processes are refused. What earlier writers left of temporary files in the
 * directory is removed before.
 *
 * Writers of other machines and containers cannot be asked whether they are still there; they count for a minute after
 * they last wrote something.
 *
 * @throws StateFileError `other-writer` when another process is at it, `cannot-write`
 */
export function exclusively<T>(path: string, fileSystem: FileSystem, task: () => Promise<T>): Promise<T> {
  const key = resolve(path);
  const queues = waiting.get(fileSystem) ?? new Map<string, Promise<unknown>>();
  waiting.set(fileSystem, queues);
  const result = (queues.get(key) ?? Promise.resolve()).then(() => locked(path, fileSystem, task));
  const settled = result.then(ignore, ignore).then(() => {
    if (queues.get(key) === settled) queues.delete(key);
  });
  queues.set(key, settled);
  return result;
}

/** The end of the queue of every path that is being written. */
const waiting = new WeakMap<FileSystem, Map<string, Promise<unknown>>>();

async function locked<T>(path: string, fileSystem: FileSystem, task: () => Promise<T>): Promise<T> {
  const [directory, target] = [dirname(path), basename(path)];
  const name = reserve({ target, kind: 'lock' }, fileSystem);
  const lock = join(directory, name);
  try {
    await (await fileSystem.open(lock, 'wx')).close();
    // First the lock, then the look round: of two that begin together, at least one sees the other.
    const others = await removeStale(directory, fileSystem);
    for (const other of others) {
      if (other.name === name || !isLockOn(target, other)) continue;
      const known = fileSystem.processes.statusOf(other.writer) === 'running';
      if (known || (await isWriting(directory, other.writer.thread, others, fileSystem))) {
        const where = known ? 'this machine' : 'another machine or container';
        const problem =
          `process ${other.writer.process} on ${where} is writing it too; let each process write to a place of its own` +
          (known ? '' : `, or, if that process is gone, try again in a minute`);
        throw new StateFileError('other-writer', problem, { file: path });
      }
    }
    return await task();
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  } finally {
    await release(lock, name, fileSystem);
  }
}

/** Whether a writer on another machine has written something lately. */
async function isWriting(
  directory: string,
  thread: string,
  temporaries: Awaited<ReturnType<typeof removeStale>>,
  fileSystem: FileSystem,
): Promise<boolean> {
  for (const { name, writer } of temporaries) {
    if (writer.thread === thread && (await idleTime(join(directory, name), fileSystem)) < MINUTE_MS) return true;
  }
  return false;
}

const MINUTE_MS = 60 * 1000;

function ignore(): void {
  // Whoever made the call has its outcome.
}
