import { createHash } from 'node:crypto';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { StateFileError, type StateFileErrorCode } from '../state-file/error.js';

/** Files are read and written this many bytes at a time: few calls, and still in the processor's cache when hashed. */
export const CHUNK_BYTES = 2 ** 20;
/** Tensors smaller than this share a chunk with their neighbours. */
export const PACKED_BYTES = 2 ** 18;

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A failure of the operating system as an error that names the file. */
export function fileError(error: unknown, code: StateFileErrorCode, file: string): StateFileError {
  if (error instanceof StateFileError) return error;
  const systemCode = systemErrorCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  return systemCode === 'ENOENT' && code === 'cannot-read'
    ? new StateFileError('file-not-found', 'there is no such file', { file }, { cause: error })
    : new StateFileError(code, reason, { file }, { cause: error });
}

/** `ENOENT` and the like; undefined for other errors. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Opens a file for reading; a pipe or a device could wait for ever. */
export async function openRegularFile(file: string): Promise<FileHandle> {
  try {
    if (!(await stat(file)).isFile()) throw new StateFileError('not-a-file', 'it is not a regular file', { file });
    return await open(file, 'r');
  } catch (error) {
    throw fileError(error, 'cannot-read', file);
  }
}

/** Node moves fewer than 2 GiB at once. */
const LONGEST_TRANSFER = 2 ** 30;

const nextLength = (bytes: Uint8Array, done: number) => Math.min(bytes.length - done, LONGEST_TRANSFER);

/** Fills `bytes` from the file. */
export async function readFully(handle: FileHandle, bytes: Uint8Array, position: number, file: string): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, nextLength(bytes, done), position + done);
    if (bytesRead === 0) {
      const offset = position + done;
      throw new StateFileError('truncated-data', 'the file has become shorter while it was read', { file, offset });
    }
    done += bytesRead;
  }
}

/** Writes all of `bytes` to the file. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, nextLength(bytes, done), position + done);
    done += bytesWritten;
  }
}
