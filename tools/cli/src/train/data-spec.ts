import { statSync } from 'node:fs';
import { extname } from 'node:path';
import { suggestion } from '@adakit/core';
import {
  characters,
  columns,
  fromArrays,
  nextTokens,
  words,
  type ColumnChoice,
  type Dataset,
  type Example,
} from '@adakit/data';
import { cifar, csvFile, images, jsonLinesFile, parquetFile, pennTreebank, readTensors } from '@adakit/data/node';
import type { TensorSpec } from '@adakit/onnx';
import { readTextFile } from '../json-file.js';
import { UsageError } from '../usage-error.js';
import { loadBuiltin, loadText, type LoadedData } from './builtin-data.js';
import { builtins, isBuiltin, isText } from './known-data.js';

export interface DataContext {
  /** What the model takes: sizes of images, lengths of texts. */
  readonly inputs: readonly TensorSpec[];
  /** Tokens in a part of a text, where the model leaves it open. */
  readonly sequence?: number;
  /** Parts of a text that are read beside each other, where a state is carried from window to window. Default: 1. */
  readonly streams?: number;
  /** Words of a text to know, the most frequent. Default: 10,000. */
  readonly vocabulary?: number;
  /** Column that is learnt, of a table. */
  readonly target?: string;
  /** Columns that it is learnt from. Default: all others. */
  readonly features?: readonly string[];
  /** Columns that are inputs of the model, by the names of these. */
  readonly field?: Readonly<Record<string, string>>;
  /** Classes of the training data, for others to be numbered alike. */
  readonly classes?: readonly string[];
  /** Whether targets are classes. */
  readonly classifies: boolean;
  /** Where the command runs. */
  readonly folder: string;
}

/**
 * Data by what a user calls them.
 *
 * @throws UsageError for what is no data, DataError for what cannot be read
 */
export async function loadData(spec: string, context: DataContext): Promise<LoadedData> {
  if (isBuiltin(spec)) return fitted(await loadBuiltin(spec, context.folder), context.inputs);
  const [kind, rest] = /^(text|words|images|cifar-10|cifar-100|ptb):(.*)$/.exec(spec)?.slice(1) ?? [];
  if (kind === 'text' || kind === 'words') return text(kind, rest, context);
  if (kind === 'images') return imageFolder(rest, context);
  if (kind === 'cifar-10') return pictures(rest, 10);
  if (kind === 'cifar-100') return pictures(rest, 100);
  if (kind === 'ptb') return treebank(rest, context);
  switch (extname(spec).toLowerCase()) {
    case '.csv':
    case '.tsv':
      return table(spec, await csvFile(spec), context);
    case '.jsonl':
    case '.ndjson':
      return table(spec, await jsonLinesFile(spec), context);
    case '.parquet':
      return table(spec, await parquetFile(spec), context);
    case '.npz':
    case '.safetensors':
      return { data: fromArrays(await readTensors(spec)) };
  }
  const folder = statSync(spec, { throwIfNoEntry: false })?.isDirectory() === true;
  throw new UsageError(
    `there are no data '${spec}'${suggestion(spec, Object.keys(builtins))} ` +
      (folder ? `A folder of images is images:${spec}. ` : '') +
      `(known: ${Object.keys(builtins).join(', ')}, text:FILE, words:FILE, images:FOLDER, cifar-10:FOLDER, cifar-100:FOLDER, ptb:FOLDER, and files .csv .tsv .jsonl .parquet .npz .safetensors)`,
  );
}

/** Grey pictures for a model of larger ones, or of three channels: in the middle of black, the same in each channel. */
function fitted({ data, validation, ...rest }: LoadedData, inputs: readonly TensorSpec[]): LoadedData {
  const [, channels, height, width] = inputs.length === 1 && inputs[0].shape.length === 4 ? inputs[0].shape : [];
  if ((channels !== 1 && channels !== 3) || typeof height !== 'number' || typeof width !== 'number') {
    return { data, ...(validation && { validation }), ...rest };
  }
  const bring = (examples: Dataset<Example>): Dataset<Example> =>
    examples.map(({ input, ...others }) => ({ ...others, input: framed(input, [channels, height, width]) }));
  return { data: bring(data), ...(validation && { validation: bring(validation) }), ...rest };
}

function framed(input: Example[string], [channels, height, width]: readonly [number, number, number]): Example[string] {
  if (typeof input !== 'object' || input.dims.length !== 2) return input;
  const [rows, columns] = input.dims;
  // What is too large stays; the model says what it takes.
  if (rows > height || columns > width || (rows === height && columns === width && channels === 1)) return input;
  const framed = new Float32Array(channels * height * width);
  const [top, left] = [Math.floor((height - rows) / 2), Math.floor((width - columns) / 2)];
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const line = input.data.subarray(row * columns, (row + 1) * columns) as Float32Array;
      framed.set(line, (channel * height + top + row) * width + left);
    }
  }
  return { data: framed, dims: [channels, height, width] };
}

async function table(spec: string, rows: Dataset<Example>, context: DataContext): Promise<LoadedData> {
  const { target, features, classifies, inputs } = context;
  const collected = await rows.collect();
  if (collected.length === 0) throw new UsageError(`${spec} holds no rows`);
  const first = await collected.at(0);
  const known = Object.keys(first);
  // A table that names its columns as the model its inputs needs no choice.
  if (target === undefined && inputs.every(({ name }) => known.includes(name))) return { data: collected };
  if (target === undefined) {
    throw new UsageError(`which column of ${spec} is to be learnt? Say --target with one of ${known.join(', ')}`);
  }
  for (const column of [target, ...(features ?? [])]) {
    if (known.includes(column)) continue;
    throw new UsageError(
      `${spec} has no column '${column}'${suggestion(column, known)} (there are: ${known.join(', ')})`,
    );
  }
  const from = inputColumns(context, first, features ?? known.filter((column) => column !== target));
  // Who goes on with a training has to learn the same from the same.
  const name = `columns(${JSON.stringify({ ...from, target })})`;
  if (!classifies) return { data: collected.map(columns({ ...from, target: [target] }), name) };
  const classes = context.classes ?? (await classesOf(collected, target));
  return { data: collected.map(columns({ ...from, target: { from: target, classes } }), name), classes };
}

/**
 * Columns as the model takes them. One that is called as an input, or named for it by `--field`, is that input; the input that
 * is left takes all others, in their order.
 *
 * @throws UsageError where several inputs are left
 */
function inputColumns(
  { inputs, field = {} }: DataContext,
  row: Example,
  from: readonly string[],
): Record<string, ColumnChoice> {
  const columnOf = ({ name }: TensorSpec): string => (Object.hasOwn(field, name) ? field[name] : name);
  const ofOneNumber = ({ shape }: TensorSpec): boolean => shape.slice(1).every((size) => size === 1);
  const own = inputs.filter((input) => {
    const column = columnOf(input);
    return from.includes(column) && (typeof row[column] === 'object' || ofOneNumber(input));
  });
  const left = inputs.filter((input) => !own.includes(input)).map(({ name }) => name);
  if (left.length > 1) {
    throw new UsageError(
      `which columns are the inputs ${left.join(', ')} of the model? One is taken by its name, or by --field ${left[0]}=COLUMN ` +
        `(there are: ${from.join(', ')}); the last input takes all that are left`,
    );
  }
  const named = own.map(columnOf);
  const others = from.filter((column) => !named.includes(column));
  return {
    ...Object.fromEntries(named.map((column) => [column, column])),
    ...(left.length > 0 && others.length > 0 && { input: others }),
  };
}

/** What occurs: numbers in order, texts by code units. */
async function classesOf(rows: Dataset<Example>, column: string): Promise<string[]> {
  const found = new Set<string | number>();
  for await (const row of rows) {
    const value = row[column];
    found.add(typeof value === 'number' || typeof value === 'string' ? value : JSON.stringify(value));
  }
  const sorted = [...found].sort((a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : 1,
  );
  return sorted.map(String);
}

async function pictures(folder: string, count: 10 | 100): Promise<LoadedData> {
  const { training, test, black } = await cifar(folder, count);
  const named = (data: Dataset<Example>): Dataset<Example> =>
    data.map(({ image, label }) => ({ input: image, target: label }));
  const classes = Array.from({ length: count }, (_, i) => String(i));
  return { data: named(training), validation: named(test), classes, black };
}

async function treebank(folder: string, { inputs, sequence, streams = 1 }: DataContext): Promise<LoadedData> {
  const { training, validation } = await pennTreebank(folder);
  const length = sequenceLength(inputs, sequence);
  return {
    data: nextTokens(training, length, { streams }),
    validation: nextTokens(validation, length, { streams }),
    classes: training.vocabulary,
  };
}

/** Tokens at a time: what the model is made for, or what is asked for. @throws UsageError where they differ */
function sequenceLength(inputs: readonly TensorSpec[], sequence: number | undefined): number {
  const fixed = inputs.find(({ shape }) => shape.length === 2)?.shape[1];
  if (typeof fixed !== 'number') return sequence ?? 64;
  if (sequence === undefined || sequence === fixed) return fixed;
  throw new UsageError(`--sequence ${sequence}: the model takes sequences of ${fixed}`);
}

async function text(kind: 'text' | 'words', path: string, context: DataContext): Promise<LoadedData> {
  const { inputs, sequence, streams = 1, folder, classes, vocabulary: most = 10_000 } = context;
  const content = isText(path) ? loadText(path, folder) : await readTextFile(path);
  if (content.trim() === '') throw new UsageError(`${kind}:${path}: the text is empty`);
  const length = sequenceLength(inputs, sequence);
  const known = classes === undefined ? {} : { vocabulary: classes };
  const tokens = kind === 'text' ? characters(content, known) : words(content, { most, ...known });
  return { data: nextTokens(tokens, length, { streams }), classes: tokens.vocabulary };
}

async function imageFolder(folder: string, { inputs }: DataContext): Promise<LoadedData> {
  const shape = inputs.find((input) => input.shape.length === 4)?.shape;
  const [, channels, height, width] = shape ?? [];
  if ((channels !== 1 && channels !== 3) || typeof height !== 'number' || typeof width !== 'number') {
    throw new UsageError(
      'images:FOLDER needs a model with one input [batch, 1 or 3, height, width] of known size; fix free sizes with --dim name=size',
    );
  }
  const { data, classes } = await images(folder, { size: [height, width], channels });
  return { data: data.map(({ image, label }) => ({ input: image, target: label })), classes };
}
