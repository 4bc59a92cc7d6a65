import { describe, expect, it } from 'vitest';
import {
  augment,
  characters,
  columns,
  csv,
  DataError,
  fromArrays,
  fromWorker,
  jsonLines,
  matchInputs,
  nextTokens,
  parquet,
  parseCifar,
  parseIdx,
  parseNpy,
  parseNpz,
  parseSafetensors,
  sampleCount,
  serveDataset,
  spacedTokens,
  stack,
  words,
} from './index.js';
import { cifar, csvFile, images, pennTreebank, readIdx, readTensors } from './node/index.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

const no = undefined as never;
const data = fromArrays({ x: [1, 2, 3] });
const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  'files without bytes': [
    ['IDX', () => parseIdx(no), 'the IDX file is read from a Uint8Array, got undefined'],
    ['npy', () => parseNpy('x.npy' as never), 'is read from a Uint8Array, got "x.npy"'],
    ['npz', () => parseNpz(no, 'x.npz'), 'x.npz is read from a Uint8Array, got undefined'],
    ['CIFAR', () => parseCifar(no, 10), 'the CIFAR file is read from a Uint8Array, got undefined'],
    ['CIFAR of other classes', () => parseCifar(new Uint8Array(3073), 11 as never), 'classes are 10 or 100, got 11'],
    ['safetensors', () => parseSafetensors(no), 'the safetensors file is read from a Uint8Array, got undefined'],
    ['csv', () => csv(no), 'csv: text is read from a string, a Uint8Array or a function that gives pieces, got undefined'], // prettier-ignore
    ['JSON lines', () => jsonLines(5 as never), 'json-lines: text is read from a string, a Uint8Array or a function'],
  ],
  options: [
    ['a delimiter that is none', () => csv('a', { delimiter: 1 as never }), 'csv: delimiter must be text, got 1'], // prettier-ignore
    ['numbers for columns', () => csv('a', { columns: [1] as never }), 'csv: columns must be a list of names, got Array'], // prettier-ignore
    ['a name that is none', () => parquet(new Uint8Array(4), { name: 1 as never }), 'parquet: name must be text, got 1'], // prettier-ignore
    ['a word for a flag', () => augment(data, { field: 'x', seed: 1, flip: 'no' as never }), 'augment: flip must be true or false, got "no"'], // prettier-ignore
    ['a word for how many', () => words('a b', { most: 'all' as never }), 'words: most must be a whole number of at least 2, got "all"'], // prettier-ignore
    ['numbers for a vocabulary', () => words('a b', { vocabulary: [1] as never }), 'words: vocabulary must be a list of names, got Array'], // prettier-ignore
    ['one name of two', () => nextTokens(words('a b c'), 1, { names: ['x'] as never }), 'nextTokens: names must be a list of two names, got Array'], // prettier-ignore
    ['a word for columns', () => columns('x' as never), 'columns: choices must be an object, got "x"'], // prettier-ignore
    ['a choice that is misspelt', () => columns({ x: { from: 'a', classes: [], clases: [] } as never }), "'x' must be a column, a list of columns or { from, classes }, got Object"], // prettier-ignore
    ['null for an input', () => matchInputs([null] as never), 'matchInputs: specs are { name, dtype, shape }, got null'], // prettier-ignore
    ['no names', () => data.rename(null as never), 'rename: names must be fields by their new names'], // prettier-ignore
    ['a number for a field', () => data.rename({ y: 1 as never }), 'rename: names is wrong: y must be text, got 1'], // prettier-ignore
    ['one of a file that is not there', () => csvFile('nowhere.csv', { delim: ';' } as never), 'csvFile: unknown option "delim"'], // prettier-ignore
    ['null', () => csv('a', null as never), 'csv: options must be an object, got null'],
    ['one that is misspelt', () => csv('a', { delimeter: ';' } as never), 'unknown option "delimeter", did you mean "delimiter"?'], // prettier-ignore
    ['a path for a file', () => parquet('a.parquet' as never), 'parquet takes bytes, or what reads parts of them, got "a.parquet"'], // prettier-ignore
    ['no file', () => parquet(undefined as never), 'parquet takes bytes, or what reads parts of them, got undefined'],
    ['null of a file', () => parquet(new Uint8Array(4), null as never), 'parquet: options must be an object, got null'],
    ['none of pictures', () => augment(data, no), 'augment: options must be an object, got undefined'],
    ['no pictures', () => augment(no, { field: 'x', seed: 1 }), 'augment takes a Dataset, such as fromArrays({ … }), got undefined'], // prettier-ignore
    ['another end of a pass', () => data.batch(2, { last: 'dropp' as never }), 'batch: last must be one of keep, drop, pad, got "dropp"'], // prettier-ignore
    [
      'a word for those of batches',
      () => data.batch(2, 'drop' as never),
      'batch: options must be an object, got "drop"',
    ],
    [
      'null for those of an order',
      () => data.shuffle(1, null as never),
      'shuffle: options must be an object, got null',
    ],
    [
      'a number for those of parts',
      () => data.split([0.5, 0.5], 7 as never),
      'split: options must be an object, got 7',
    ],
    ['none of images', () => images('folder', no), 'images: options must be an object, got undefined'],
    ['a layout that there is not', () => images('folder', { size: [1, 1], layout: 'HWC' as never }), 'images: layout must be one of NCHW, NHWC, got "HWC"'], // prettier-ignore
  ],
  text: [
    ['none', () => words(no), 'words: text must be text, got undefined'],
    ['a number', () => characters(5 as never), 'characters: text must be text, got 5'],
    ['a word for a vocabulary', () => spacedTokens('a', { vocabulary: 'a' as never }), 'spacedTokens: vocabulary must be a list of names, got "a"'], // prettier-ignore
    ['no tokens', () => nextTokens(no, 4), 'nextTokens takes tokens, as words(text) gives them, got undefined'],
  ],
  examples: [
    ['no columns', () => columns(no), 'columns: choices is required'], // prettier-ignore
    ['a number for a column', () => columns({ x: 5 as never }), "columns: 'x' must be a column"],
    ['none to stack', () => stack(no), 'stack: examples must be a list, got undefined'],
    ['no inputs', () => matchInputs(no), 'matchInputs: specs must be a list, got undefined'],
    ['no batch', () => sampleCount('batch' as never), 'sampleCount takes a batch, got "batch"'],
    ['no tensors', () => sampleCount({ x: [1] } as never), "sampleCount takes a batch of tensors, 'x' is none"],
  ],
  workers: [
    ['none', () => fromWorker(no), 'fromWorker takes a Worker, parentPort or self, got undefined'],
    ['no data', () => { serveDataset(no, {} as never); }, 'serveDataset takes a Dataset'], // prettier-ignore
    ['no port', () => { serveDataset(data, {} as never); }, 'serveDataset takes a Worker, parentPort or self, got Object'], // prettier-ignore
  ],
  paths: [
    ['none of a table', () => csvFile(no), 'a path must be text, got undefined'],
    ['none of tensors', () => readTensors(no), 'a path must be text, got undefined'],
    ['none of an IDX file', () => readIdx(no), 'a path must be text, got undefined'],
    ['none of pictures', () => cifar(no, 10), 'cifar: the folder must be text, got undefined'],
    ['other classes', () => cifar('folder', 12 as never), 'cifar: classes are 10 or 100, got 12'],
    ['none of a text', () => pennTreebank(no), 'pennTreebank: the folder must be text, got undefined'],
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(DataError);
    await attempt.toThrow(message);
  });
});
