import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { asyncBufferFromFile } from 'hyparquet';
import type { Dataset } from '../dataset/dataset.js';
import type { DataTensor, Example } from '../dataset/example.js';
import { DataError, requireOptions, requireText } from '../error.js';
import { CSV_OPTIONS, csvOf, type CsvOptions, type Row } from '../formats/csv.js';
import { parseIdx } from '../formats/idx.js';
import { jsonLinesOf } from '../formats/json-lines.js';
import { parseNpy, parseNpz } from '../formats/npy.js';
import { parquet, PARQUET_OPTIONS, type ParquetOptions } from '../formats/parquet.js';
import { parseSafetensors } from '../formats/safetensors.js';

/** @throws DataError `cannot-read` with the reason */
export async function readBytes(path: string): Promise<Uint8Array> {
  requireText('a path', path);
  try {
    return await readFile(path);
  } catch (error) {
    throw cannotRead(path, error);
  }
}

export function cannotRead(path: string, error: unknown): DataError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const reason =
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EISDIR'
        ? 'it is a folder'
        : code === 'EACCES'
          ? 'permission denied'
          : String(error);
  return new DataError('cannot-read', `cannot read ${path}: ${reason}`, { cause: error });
}

/** @returns how many bytes it has, where it is a plain file */
async function requireFile(path: string): Promise<number | undefined> {
  requireText('a path', path);
  const status = await stat(path).catch((error: unknown) => {
    throw cannotRead(path, error);
  });
  if (status.isDirectory()) throw new DataError('cannot-read', `cannot read ${path}: it is a folder`);
  return status.isFile() ? status.size : undefined;
}

/** What a file holds now, again for every pass: what is appended while it is in use is left out. */
function opened(path: string, bytes: number | undefined): () => AsyncIterable<Uint8Array> {
  return () => createReadStream(path, bytes ? { end: bytes - 1 } : {});
}

/**
 * Rows of a CSV file, or a TSV file by its ending, as they are read. Its size is part of what it is: a run does not go on with one
 * that has grown or shrunk.
 *
 * @throws DataError `cannot-read`
 */
export async function csvFile(path: string, options: CsvOptions = {}): Promise<Dataset<Row>> {
  requireOptions('csvFile', options, CSV_OPTIONS);
  const bytes = await requireFile(path);
  const delimiter = options.delimiter ?? (extname(path).toLowerCase() === '.tsv' ? '\t' : ',');
  return csvOf(opened(path, bytes), { name: basename(path), ...options, delimiter }, bytes);
}

/** Objects of a file with one a line. Of its size as `csvFile`. @throws DataError `cannot-read` */
export async function jsonLinesFile(path: string): Promise<Dataset<Example>> {
  const bytes = await requireFile(path);
  return jsonLinesOf(opened(path, bytes), basename(path), bytes);
}

/** Rows of a Parquet file; parts are read when they are needed. @throws DataError as `parquet`, and `cannot-read` */
export async function parquetFile(path: string, options: ParquetOptions = {}): Promise<Dataset<Example>> {
  requireOptions('parquetFile', options, PARQUET_OPTIONS);
  await requireFile(path);
  return parquet(await asyncBufferFromFile(path), { name: basename(path), ...options });
}

/** An IDX file, compressed or not. @throws DataError */
export async function readIdx(path: string): Promise<DataTensor> {
  return parseIdx(await readBytes(path), path);
}

/**
 * The tensors of a `.npy` (named `data`), `.npz` or `.safetensors` file.
 *
 * @throws DataError for a file that cannot be read or has another ending; StateFileError for damaged safetensors
 */
export async function readTensors(path: string): Promise<Record<string, DataTensor>> {
  requireText('a path', path);
  switch (extname(path).toLowerCase()) {
    case '.npy':
      return { data: parseNpy(await readBytes(path), path) };
    case '.npz':
      return parseNpz(await readBytes(path), path);
    case '.safetensors':
      return parseSafetensors(await readBytes(path), path);
    default:
      throw new DataError('cannot-read', `${path}: tensors are read from .npy, .npz and .safetensors files`);
  }
}
