import { kindOf, kinds, type OptionKind } from '@adakit/core';
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type Compressors } from 'hyparquet';
import { Dataset } from '../dataset/dataset.js';
import type { Example } from '../dataset/example.js';
import { DataError, requireOptions } from '../error.js';
import { asValue } from './json-lines.js';

/** What is read of a Parquet file. */
export interface ParquetOptions {
  /** Which columns. Default: all. */
  readonly columns?: readonly string[];
  /** For other compressions than Snappy and none: `compressors` of the package hyparquet-compressors. */
  readonly compressors?: Compressors;
  /** For messages, and to tell the data from others when a run is resumed. Default: `parquet`. */
  readonly name?: string;
}

/** {@link ParquetOptions}, as they may be. */
export const PARQUET_OPTIONS: Readonly<Record<keyof ParquetOptions, OptionKind>> = {
  columns: kinds.names,
  compressors: kinds.object,
  name: kinds.text,
};

/**
 * Rows of a Parquet file, read one row group at a time. int64 stays bigint, lists of numbers become float32 tensors.
 *
 * @param file its bytes, or something that reads parts of them (hyparquet's `asyncBufferFromUrl`)
 * @throws DataError `invalid-argument` for what is no file, such as a path, `invalid-data` for a damaged one, `unknown-column`
 */
export async function parquet(file: Uint8Array | AsyncBuffer, options: ParquetOptions = {}): Promise<Dataset<Example>> {
  requireOptions('parquet', options, PARQUET_OPTIONS);
  const { columns, compressors, name = 'parquet' } = options;
  // Of a path say, whose file parquetFile of @adakit/data/node opens.
  if (typeof (Object(file) as Partial<AsyncBuffer>).slice !== 'function' || typeof file === 'string') {
    throw new DataError('invalid-argument', `parquet takes bytes, or what reads parts of them, got ${kindOf(file)}`);
  }
  const buffer: AsyncBuffer = file instanceof Uint8Array ? inMemory(file) : file;
  const metadata = await parquetMetadataAsync(buffer).catch((error: unknown) => {
    throw damaged(name, error);
  });
  const known = metadata.schema.slice(1).map((element) => element.name);
  const unknown = columns?.find((column) => !known.includes(column));
  if (unknown !== undefined) {
    throw new DataError('unknown-column', `${name}: there is no column '${unknown}'; there are ${known.join(', ')}`);
  }
  const groups = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
  return new Dataset({
    description: `parquet(${name}, ${metadata.num_rows})`,
    length: Number(metadata.num_rows),
    async *read(_, from) {
      let start = 0;
      for (const count of groups) {
        const [rowStart, rowEnd] = [Math.max(start, from), start + count];
        start = rowEnd;
        if (rowStart >= rowEnd) continue;
        const rows = await parquetReadObjects({
          file: buffer,
          metadata,
          rowStart,
          rowEnd,
          ...(columns && { columns: [...columns] }),
          ...(compressors && { compressors }),
        }).catch((error: unknown) => {
          throw damaged(name, error);
        });
        for (const [i, row] of rows.entries()) {
          yield Object.fromEntries(
            Object.entries(row).map(([column, value]) => [
              column,
              asValue(value, `${name}, row ${rowStart + i}: '${column}'`),
            ]),
          );
        }
      }
    },
  });
}

function inMemory(bytes: Uint8Array): AsyncBuffer {
  const copy = new Uint8Array(bytes).buffer;
  return { byteLength: copy.byteLength, slice: (start, end) => copy.slice(start, end) };
}

function damaged(name: string, error: unknown): DataError {
  const reason = error instanceof Error ? error.message : String(error);
  return new DataError('invalid-data', `${name}: cannot be read as Parquet: ${reason}`, { cause: error });
}
