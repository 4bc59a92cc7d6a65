import { createWriteStream, rmSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { INTERRUPTED, SIGNALS } from './interruption.js';
import { UsageError } from './usage-error.js';

/** Stands for standard input and output among files. */
export const STANDARD = '-';

/** @throws UsageError for standard input given twice */
export function requireOneStandardInput(files: readonly string[]): void {
  if (files.filter((file) => file === STANDARD).length < 2) return;
  throw new UsageError('standard input (-) can be read once; name files for the others');
}

/**
 * Uses a file, or what comes by standard input: that is kept in a temporary file, as tensors are read in any order.
 *
 * @param source path, or `-`
 */
export async function withSource<T>(source: string, use: (path: string) => Promise<T>): Promise<T> {
  if (source !== STANDARD) return use(source);
  return inFolder(async (folder) => {
    const path = join(folder, 'standard input');
    await pipeline(process.stdin, createWriteStream(path));
    return use(path);
  });
}

/**
 * Writes a file, or to standard output, once it is complete.
 *
 * @param target path, or `-`
 * @throws UsageError where standard output is a terminal
 */
export async function withTarget<T>(target: string, write: (path: string) => Promise<T>): Promise<T> {
  if (target !== STANDARD) return write(target);
  if (process.stdout.isTTY) {
    throw new UsageError(
      'standard output is a terminal, which cannot show a file; name one, or send it on with > or |',
    );
  }
  return inFolder(async (folder) => {
    const path = join(folder, 'standard output');
    const result = await write(path);
    await copyOut(path);
    return result;
  });
}

/**
 * A reader of what is printed may leave, as `head` does, and a terminal be closed: what is being done goes on to its end.
 * Anything else that keeps results from being printed, such as a full disk, is told of and is a failure.
 */
export function outliveReaders(): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO') return;
    process.stderr.write(`adakit: standard output: ${error.message}\n`);
    process.exitCode = 1;
  });
}

async function copyOut(path: string): Promise<void> {
  const file = await open(path);
  try {
    // Not piped: standard output stays open for others, and waits for readers that are slow.
    for await (const chunk of file.createReadStream({ autoClose: false })) {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(chunk as Uint8Array, (error) => {
          if (error) reject(error);
          else resolve();
        });
      });
    }
  } finally {
    await file.close();
  }
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  // What came by a pipe may be large: it does not stay behind.
  const end = (): void => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(INTERRUPTED);
  };
  for (const signal of SIGNALS) process.once(signal, end);
  try {
    return named(await use(folder), folder);
  } catch (error) {
    if (error instanceof Error) error.message = named(error.message, folder);
    throw error;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, end);
    await rm(folder, { recursive: true, force: true });
  }
}

/** What is said of files in the folder without its name, which nobody knows. */
function named<T>(said: T, folder: string): T;
function named(said: unknown, folder: string): unknown {
  if (typeof said === 'string') return said.replaceAll(`${folder}/`, '');
  if (Array.isArray(said)) return said.map((each) => named(each as unknown, folder));
  if (typeof said !== 'object' || said === null || Object.getPrototypeOf(said) !== Object.prototype) return said;
  return Object.fromEntries(Object.entries(said).map(([key, value]) => [key, named(value as unknown, folder)]));
}
