import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { AtomicFile, createFile, syncDirectory } from './atomic-file.js';
import { exclusively } from './exclusive.js';
import {
  CHUNK_BYTES,
  fileError,
  followLinks,
  openRegularFile,
  readFully,
  requirePlace,
  statusOf,
  writeFully,
} from './file-access.js';
import { disk, type FileOptions, type FileStatus, type FileSystem } from './file-system.js';

/**
 * Writes a file and, beside it, data that it refers to by name, as an ONNX model does to its weights. Under `path` there
 * is the old pair or the new one at any moment, also after a crash; when the promise resolves, the new one is on the disk.
 *
 * The data file is called `<file>.<digits>.data`, with the first 16 digits of its SHA-256: other data has another name, so
 * that the old pair stays whole until the file that names the new data takes its place. Data that no file of this name
 * refers to any more is removed.
 *
 * @param data in pieces, one after the other; none for a file that stands alone
 * @param content of the file, given the name of the data
 * @returns the content
 * @throws StateFileError `cannot-write` with what to do about it, or `other-writer`
 */
export async function writeWithData(
  path: string,
  data: Iterable<Uint8Array>,
  content: (dataName: string) => Uint8Array,
  options: FileOptions = {},
): Promise<Uint8Array> {
  requirePlace('cannot-write', 'a file is written to', path, options);
  const { fileSystem = disk } = options;
  try {
    const target = await followLinks(path, fileSystem);
    return await exclusively(target, fileSystem, async () => {
      await removeUnnamed(target, fileSystem);
      const like = await statusOf(target, (name) => fileSystem.stat(name));
      const dataName = await writeData(target, data, fileSystem, like);
      try {
        const bytes = content(dataName);
        await createFile(target, fileSystem, ({ handle }) => writeFully(handle, bytes, 0), like);
        await removeUnnamed(target, fileSystem);
        return bytes;
      } catch (error) {
        // On a full disk it would take the space that the next attempt needs.
        await removeUnnamed(target, fileSystem).catch(ignore);
        throw error;
      }
    });
  } catch (error) {
    throw fileError(error, 'cannot-write', path);
  }
}

/** @returns the name of the file that holds the data */
async function writeData(
  target: string,
  pieces: Iterable<Uint8Array>,
  fileSystem: FileSystem,
  like: FileStatus | undefined,
): Promise<string> {
  const hash = createHash('sha256');
  let file: AtomicFile | undefined;
  try {
    let position = 0;
    for (const piece of pieces) {
      file ??= await AtomicFile.create(target, fileSystem, like);
      for (let start = 0; start < piece.length; start += CHUNK_BYTES) {
        const chunk = piece.subarray(start, start + CHUNK_BYTES);
        hash.update(chunk);
        await writeFully(file.handle, chunk, position);
        position += chunk.length;
      }
    }
  } catch (error) {
    await file?.abandon();
    throw error;
  }
  const name = `${basename(target)}.${hash.digest('hex').slice(0, 16)}.data`;
  await file?.commit(name);
  return name;
}

/** Removes data that the file does not name: of pairs before, and of writers that were killed or failed. */
async function removeUnnamed(target: string, fileSystem: FileSystem): Promise<void> {
  const found = await dataBeside(target, fileSystem);
  if (found.length === 0) return;
  const named = await namesIn(target, found, fileSystem);
  const unnamed = found.filter((name) => !named.has(name));
  if (unnamed.length === 0) return;
  // The file that is there now must not give way to one that names them.
  await syncDirectory(dirname(target), fileSystem);
  for (const name of unnamed) await fileSystem.unlink(join(dirname(target), name));
}

async function dataBeside(target: string, fileSystem: FileSystem): Promise<string[]> {
  const prefix = `${basename(target)}.`;
  const names = await fileSystem.readdir(dirname(target));
  return names.filter((name) => name.startsWith(prefix) && /^[0-9a-f]{16}\.data$/.test(name.slice(prefix.length)));
}

/** Which of `names` a file contains, as text in whatever format; none if there is no file. */
async function namesIn(path: string, names: readonly string[], fileSystem: FileSystem): Promise<Set<string>> {
  const found = new Set<string>();
  if ((await statusOf(path, (name) => fileSystem.stat(name))) === undefined) return found;
  const handle = await openRegularFile(path, fileSystem);
  try {
    const { size } = await handle.stat();
    // Parts overlap by the length of a name, which might lie across their border.
    const overlap = Math.max(...names.map((name) => Buffer.byteLength(name)));
    for (let start = 0; start < size; start += CHUNK_BYTES) {
      const part = Buffer.alloc(Math.min(CHUNK_BYTES + overlap, size - start));
      await readFully(handle, part, start, path);
      for (const name of names) if (part.includes(name)) found.add(name);
    }
    return found;
  } finally {
    await handle.close();
  }
}

function ignore(): void {
  // The error that comes first is the one to report.
}
