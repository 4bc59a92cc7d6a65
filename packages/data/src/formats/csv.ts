import { kinds, type OptionKind } from '@adakit/core';
import papaparse from 'papaparse';
import { fromStream } from '../dataset/from.js';
import type { Dataset } from '../dataset/dataset.js';
import { DataError, requireOptions } from '../error.js';
import { identityOf, requireSource, textPieces, type TextSource } from './text-source.js';

/** How a table of text is read. */
export interface CsvOptions {
  /** Between fields; `'\t'` for TSV. Default: a comma. */
  readonly delimiter?: string;
  /** Names of the columns, where the first line holds none. Default: the first line. */
  readonly columns?: readonly string[];
  /** For messages, and to tell the data from others when a run is resumed. Default: `csv`. */
  readonly name?: string;
}

/** {@link CsvOptions}, as they may be. */
export const CSV_OPTIONS: Readonly<Record<keyof CsvOptions, OptionKind>> = {
  delimiter: kinds.text,
  columns: kinds.names,
  name: kinds.text,
};

/** A row of a table; fields that are written as numbers are numbers. */
export type Row = Readonly<Record<string, number | string>>;

/**
 * Rows of CSV or TSV (RFC 4180: quotes, delimiters and line ends in quotes), as they are read.
 *
 * @throws DataError `invalid-data`, when read, for rows with more or fewer fields than there are columns, naming the line
 */
export function csv(source: TextSource, options: CsvOptions = {}): Dataset<Row> {
  return csvOf(source, options);
}

/** As {@link csv}. @param bytes how large what a function opens is, where that is known */
export function csvOf(source: TextSource, options: CsvOptions, bytes?: number): Dataset<Row> {
  requireOptions('csv', options, CSV_OPTIONS);
  const { delimiter = ',', columns, name = 'csv' } = options;
  requireSource(name, source);
  return fromStream(identityOf(name, source, bytes), async function* () {
    let names = columns;
    let number = 0;
    for await (const fields of records(source, delimiter)) {
      number++;
      if (names === undefined) {
        names = header(fields, name);
        continue;
      }
      if (fields.length !== names.length) {
        throw new DataError(
          'invalid-data',
          `${name}: record ${number} has ${fields.length} fields and there are ${names.length} columns (${names.join(', ')})`,
        );
      }
      yield Object.fromEntries(names.map((column, i) => [column, typed(fields[i])]));
    }
    if (number === 0) throw new DataError('invalid-data', `${name}: is empty`);
  });
}

function header(fields: readonly string[], name: string): readonly string[] {
  const names = fields.map((field) => field.trim());
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice === undefined) return names;
  throw new DataError('invalid-data', `${name}: two columns are called '${twice}'; give names with the option columns`);
}

/** The end of the first line tells how all lines end. */
const LINE_END = /\r\n|\n|\r(?=[^\n])/;

async function* records(source: TextSource, delimiter: string): AsyncGenerator<string[]> {
  let newline: '\r\n' | '\n' | '\r' | undefined;
  const parse = (text: string, more: boolean): { readonly data: string[][]; readonly rest: string } => {
    const parser = new papaparse.Parser({ delimiter, newline: newline ?? '\n' });
    const { data, meta } = parser.parse(text, 0, more) as { data: string[][]; meta: { cursor: number } };
    return { data: data.filter((fields) => fields.length > 1 || fields[0] !== ''), rest: text.slice(meta.cursor) };
  };
  let pending = '';
  for await (const piece of textPieces(source)) {
    pending += piece;
    newline ??= LINE_END.exec(pending)?.[0] as typeof newline;
    // Nothing is complete without a line end; what is there need not be parsed again for every piece.
    if (newline === undefined || !piece.includes(newline.slice(-1))) continue;
    const { data, rest } = parse(pending, true);
    pending = rest;
    yield* data;
  }
  if (pending !== '') yield* parse(pending, false).data;
}

function typed(field: string): number | string {
  const value = Number(field);
  return field.trim() !== '' && Number.isFinite(value) ? value : field;
}
