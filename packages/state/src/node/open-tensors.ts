import type { StoredTensor } from '@adakit/core';
import { StateFileError } from '../file/error.js';
import { parseHeader, type Header, type TensorInfo } from '../file/header.js';
import { requirePlace } from './file-access.js';
import { disk, type FileOptions } from './file-system.js';
import type { TensorLocation } from './state-reader.js';
import { TensorReader, type InspectTensor } from './tensor-reader.js';

/**
 * Opens any safetensors file: checks its header and leaves the tensors where they are.
 *
 * @throws StateFileError for the first violation of the format, with its code and place
 */
export async function openTensors(path: string, options: FileOptions = {}): Promise<OpenTensors> {
  requirePlace('cannot-read', 'tensors are read from', path, options);
  const { fileSystem = disk } = options;
  const reader = await TensorReader.open(path, fileSystem);
  try {
    return new OpenTensors(reader, parseHeader(reader.header, reader.dataLength, path));
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** An open safetensors file. */
export class OpenTensors {
  readonly #reader: TensorReader;
  readonly #header: Header;

  /** For {@link openTensors}. */
  constructor(reader: TensorReader, header: Header) {
    this.#reader = reader;
    this.#header = header;
  }

  get path(): string {
    return this.#reader.file;
  }

  /** Every tensor by name, in the order of the file. */
  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.#header.tensors;
  }

  /** Where the bytes of every tensor are, for programs that read them on their own. */
  get locations(): ReadonlyMap<string, TensorLocation> {
    const { file, dataStart } = this.#reader;
    return new Map(
      [...this.#header.tensors].map(([name, { dtype, shape, begin, end }]) => [
        name,
        { dtype, shape, file, offset: dataStart + begin, byteLength: end - begin },
      ]),
    );
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.#header.metadata;
  }

  /** Reads one tensor, and nothing else. @throws StateFileError `unknown-tensor` */
  async read(name: string): Promise<StoredTensor> {
    const entry = this.#header.tensors.get(name);
    if (entry !== undefined) {
      for await (const { bytes } of this.#reader.read([[name, entry]], { keep: true })) {
        return { dtype: entry.dtype, shape: entry.shape, bytes };
      }
    }
    throw new StateFileError('unknown-tensor', 'there is no such tensor', { file: this.path, tensor: name });
  }

  /** Shows every tensor part by part, in the order of the file: memory does not grow with the tensors. */
  async scan(inspect: InspectTensor): Promise<void> {
    const reading = this.#reader.read(this.#header.tensors, { keep: false, inspect });
    while ((await reading.next()).done !== true);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
