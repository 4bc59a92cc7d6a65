import { createHash, type Hash } from 'node:crypto';
import { StateFileError } from '../file/error.js';
import { LENGTH_BYTES, readHeaderLength, type TensorEntry, type TensorInfo } from '../file/header.js';
import { CHUNK_BYTES, fileError, openRegularFile, PACKED_BYTES, readFully } from './file-access.js';
import type { FileSystem, OpenFile } from './file-system.js';

/** A tensor that has been read to its end. */
export interface ReadTensor {
  readonly name: string;
  readonly entry: TensorEntry;
  /** SHA-256 of its bytes. */
  readonly sha256: string;
  /** In a buffer of their own; empty if they were not kept. */
  readonly bytes: Uint8Array;
}

/** Sees a part of a tensor that starts at byte `start` of it; a part begins and ends with an element. */
export type InspectTensor = (name: string, info: TensorInfo, part: Uint8Array, start: number) => void;

export interface ReadOptions {
  /** Keep the bytes; otherwise they are only looked at, and memory stays the same however large the tensors. */
  readonly keep: boolean;
  /** Called with every part of every tensor, in order. */
  readonly inspect?: InspectTensor;
}

/** An open safetensors file: its header's bytes, and its tensors on demand. */
export class TensorReader {
  readonly file: string;
  /** Without the length field. */
  readonly header: Uint8Array;
  /** Bytes after the header. */
  readonly dataLength: number;
  readonly #handle: OpenFile;

  private constructor(file: string, handle: OpenFile, header: Uint8Array, dataLength: number) {
    this.file = file;
    this.header = header;
    this.dataLength = dataLength;
    this.#handle = handle;
  }

  /** Opens a file and reads its header, without interpreting it. */
  static async open(file: string, fileSystem: FileSystem): Promise<TensorReader> {
    const handle = await openRegularFile(file, fileSystem);
    try {
      const { size } = await handle.stat();
      const start = new Uint8Array(Math.min(LENGTH_BYTES, size));
      await readFully(handle, start, 0, file);
      const header = new Uint8Array(readHeaderLength(start, size, file));
      await readFully(handle, header, LENGTH_BYTES, file);
      return new TensorReader(file, handle, header, size - LENGTH_BYTES - header.length);
    } catch (error) {
      await handle.close();
      throw fileError(error, 'cannot-read', file);
    }
  }

  /** Offset of the data section in the file. */
  get dataStart(): number {
    return LENGTH_BYTES + this.header.length;
  }

  /** Reads tensors in the order given; that of the file is fastest. While a chunk is looked at, the next is read. */
  async *read(
    entries: Iterable<readonly [string, TensorEntry]>,
    { keep, inspect }: ReadOptions,
  ): AsyncGenerator<ReadTensor, void, undefined> {
    let hash: Hash | undefined;
    for await (const { bytes, parts } of this.#ahead(planReads(entries, keep, this.file))) {
      for (const { name, entry, start, at, length, whole, last } of parts) {
        const part = bytes.subarray(at, at + length);
        hash ??= createHash('sha256');
        hash.update(part);
        inspect?.(name, entry, part, start);
        if (!last) continue;
        const kept = whole ?? (keep ? new Uint8Array(part) : new Uint8Array());
        yield { name, entry, sha256: hash.digest('hex'), bytes: kept };
        hash = undefined;
      }
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Carries out reads, one ahead of the consumer. */
  async *#ahead(reads: Iterator<PlannedRead, void>): AsyncGenerator<PlannedRead, void, undefined> {
    const start = (): { read: PlannedRead; done: Promise<void> } | undefined => {
      const next = reads.next();
      if (next.done === true) return undefined;
      const read = next.value;
      const done = readFully(this.#handle, read.bytes, this.dataStart + read.position, this.file);
      done.catch(() => undefined); // Awaited below, or of no interest any more.
      return { read, done };
    };
    let following = start();
    try {
      while (following !== undefined) {
        const current = following;
        await current.done;
        following = start();
        yield current.read;
      }
    } catch (error) {
      throw fileError(error, 'cannot-read', this.file);
    } finally {
      await following?.done.catch(() => undefined);
    }
  }
}

interface PlannedRead {
  /** Offset in the data section. */
  readonly position: number;
  /** Where the bytes go. */
  readonly bytes: Uint8Array;
  readonly parts: readonly Part[];
}

/** A part of a tensor in a read. */
interface Part {
  readonly name: string;
  readonly entry: TensorEntry;
  /** Where it starts in the tensor. */
  readonly start: number;
  /** Where it starts in the read. */
  readonly at: number;
  readonly length: number;
  /** All bytes of the tensor, if this read goes into them. */
  readonly whole?: Uint8Array;
  readonly last: boolean;
}

/** Large tensors are read in chunks, into their own memory if they are kept; runs of small ones in one read. */
function* planReads(
  entries: Iterable<readonly [string, TensorEntry]>,
  keep: boolean,
  file: string,
): Generator<PlannedRead, void> {
  // Two, because one is filled while the other is looked at.
  const buffers = [0, 1].map(() => lazy(() => new Uint8Array(CHUNK_BYTES)));
  let turn = 0;
  const buffer = (length: number): Uint8Array =>
    length < PACKED_BYTES ? new Uint8Array(length) : buffers[turn++ % 2]().subarray(0, length);

  let position = 0;
  let packed = 0;
  let parts: Part[] = [];
  const pack = (): PlannedRead => {
    const read = { position, bytes: buffer(packed), parts };
    [packed, parts] = [0, []];
    return read;
  };
  for (const [name, entry] of entries) {
    const { begin, end } = entry;
    const length = end - begin;
    const large = length >= PACKED_BYTES;
    const fits = !large && begin === position + packed && packed + length <= CHUNK_BYTES;
    if (parts.length > 0 && !fits) yield pack();
    if (large) {
      const whole = keep ? allocate(length, name, file) : undefined;
      for (let start = 0; start < length; start += CHUNK_BYTES) {
        const chunk = Math.min(CHUNK_BYTES, length - start);
        const part = { name, entry, start, at: 0, length: chunk, last: start + chunk === length };
        yield {
          position: begin + start,
          bytes: whole?.subarray(start, start + chunk) ?? buffer(chunk),
          parts: [whole === undefined ? part : { ...part, whole }],
        };
      }
    } else {
      if (parts.length === 0) position = begin;
      parts.push({ name, entry, start: 0, at: packed, length, last: true });
      packed += length;
    }
  }
  if (parts.length > 0) yield pack();
}

function allocate(length: number, tensor: string, file: string): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    const problem = `its ${length} bytes do not fit into one array on this machine`;
    throw new StateFileError('tensor-too-large', problem, { file, tensor }, { cause });
  }
}

function lazy<T>(make: () => T): () => T {
  let value: T | undefined;
  return () => (value ??= make());
}
