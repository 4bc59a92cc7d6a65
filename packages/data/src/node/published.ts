import { kindOf } from '@adakit/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset } from '../dataset/dataset.js';
import { isTensor, type DataTensor, type Example } from '../dataset/example.js';
import { fromArrays } from '../dataset/from.js';
import { DataError, requireText } from '../error.js';
import { parseCifar } from '../formats/cifar.js';
import { spacedTokens, type Tokens } from '../formats/tokens.js';
import { readBytes } from './files.js';

/** Pictures to train with and to test with: `image`, float32 [3, 32, 32], and `label`, uint8. */
export interface CifarData {
  readonly training: Dataset<Example>;
  readonly test: Dataset<Example>;
  /** What black is by channel, standardized: with what training code fills the border of pictures that it crops. */
  readonly black: readonly number[];
}

/**
 * Mean and standard deviation of red, green and blue over the training pictures of CIFAR-10, on a scale of 0…1: what is
 * subtracted and divided by, for both data sets as in most published trainings.
 */
const MEAN = [0.4914, 0.4822, 0.4465];
const DEVIATION = [0.2023, 0.1994, 0.201];

const FILES = {
  10: { training: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`), test: ['test_batch.bin'] },
  100: { training: ['train.bin'], test: ['test.bin'] },
} as const;

/**
 * CIFAR-10 or CIFAR-100 from a folder with the files of its binary version, pixels standardized.
 *
 * @throws DataError `cannot-read` for files that are missing, `invalid-data` for damaged ones
 */
export async function cifar(folder: string, classes: 10 | 100): Promise<CifarData> {
  requireText('cifar: the folder', folder);
  if (!Object.hasOwn(FILES, classes))
    throw new DataError('invalid-argument', `cifar: classes are 10 or 100, got ${kindOf(classes)}`);
  const { training, test } = FILES[classes];
  requireFiles(
    folder,
    [...training, ...test],
    `CIFAR-${classes}, the binary version (https://www.cs.toronto.edu/~kriz)`,
  );
  return {
    training: await pictures(folder, training, classes),
    test: await pictures(folder, test, classes),
    black: MEAN.map((mean, channel) => -mean / DEVIATION[channel]),
  };
}

async function pictures(folder: string, names: readonly string[], classes: 10 | 100): Promise<Dataset<Example>> {
  const parts = [];
  for (const name of names) {
    const path = join(folder, name);
    parts.push(parseCifar(await readBytes(path), classes, path));
  }
  const images = joined(parts.map(({ image }) => image));
  const labels = joined(parts.map(({ label }) => label));
  return fromArrays({ image: images, label: labels }).map(({ image, label }) => ({
    image: isTensor(image) ? standardized(image) : image,
    label,
  }));
}

/** uint8 tensors one after the other along the first axis. */
function joined(tensors: readonly DataTensor[]): DataTensor {
  const [{ dims }] = tensors;
  const count = tensors.reduce((sum, { dims: [size] }) => sum + size, 0);
  const data = new Uint8Array(tensors.reduce((sum, tensor) => sum + tensor.data.length, 0));
  let at = 0;
  for (const tensor of tensors) {
    data.set(tensor.data as Uint8Array, at);
    at += tensor.data.length;
  }
  return { data, dims: [count, ...dims.slice(1)] };
}

function standardized({ data, dims }: DataTensor): DataTensor {
  const area = dims[1] * dims[2];
  const numbers = new Float32Array(data.length);
  for (let i = 0; i < numbers.length; i++) {
    const channel = Math.floor(i / area);
    numbers[i] = (Number(data[i]) / 255 - MEAN[channel]) / DEVIATION[channel];
  }
  return { data: numbers, dims };
}

/** A text in parts, with the vocabulary of its training part. */
export interface TextData {
  readonly training: Tokens;
  readonly validation: Tokens;
  readonly test: Tokens;
}

/**
 * The Penn Treebank as language models use it: `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt` in a folder, words between
 * spaces, rare ones `<unk>`, ends of lines `<eos>`.
 *
 * @throws DataError `cannot-read` for files that are missing, `invalid-data` for words that the training part lacks
 */
export async function pennTreebank(folder: string): Promise<TextData> {
  requireText('pennTreebank: the folder', folder);
  const names = ['train', 'valid', 'test'].map((part) => `ptb.${part}.txt`);
  requireFiles(folder, names, "the Penn Treebank as Mikolov's language models have it");
  const [training, validation, test] = await Promise.all(
    names.map(async (name) => new TextDecoder().decode(await readBytes(join(folder, name)))),
  );
  const tokens = spacedTokens(training);
  const { vocabulary } = tokens;
  return {
    training: tokens,
    validation: spacedTokens(validation, { vocabulary }),
    test: spacedTokens(test, { vocabulary }),
  };
}

function requireFiles(folder: string, names: readonly string[], what: string): void {
  const missing = names.filter((name) => !existsSync(join(folder, name)));
  if (missing.length === 0) return;
  throw new DataError('cannot-read', `${folder} lacks ${missing.join(', ')} of ${what}`);
}
