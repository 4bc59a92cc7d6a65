import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { isTensor } from '../dataset/example.js';
import { parseCifar, spacedTokens } from '../index.js';
import { cifar, pennTreebank } from './index.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-published-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A record: header, then pixels that tell their channel and the picture. */
const record = (header: readonly number[], first: number) =>
  Uint8Array.from({ length: header.length + 3072 }, (_, i) =>
    i < header.length ? header[i] : (first + Math.floor((i - header.length) / 1024)) % 256,
  );
const records = (...list: readonly Uint8Array[]) => Uint8Array.from(list.flatMap((each) => [...each]));
function home(name: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  return path;
}

describe('CIFAR', () => {
  const ten = Object.fromEntries([
    ...[1, 2, 3, 4, 5].map(
      (part) => [`data_batch_${part}.bin`, records(record([part], part), record([0], 0))] as const,
    ),
    ['test_batch.bin', record([9], 100)] as const,
  ]);

  it('of ten classes comes in five parts and one to test with, standardized', async () => {
    const { training, test: tests } = await cifar(home('ten', ten), 10);
    expect([training.length, tests.length]).toEqual([10, 1]);
    const labels: unknown[] = [];
    for await (const { label } of training) labels.push(isTensor(label) ? label.data[0] : label);
    expect(labels).toEqual([1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
    for await (const { image } of tests) {
      if (!isTensor(image)) throw new Error('the image is no tensor');
      expect(image.dims).toEqual([3, 32, 32]);
      const expected = [0.4914, 0.4822, 0.4465].map((mean, c) => ((100 + c) / 255 - mean) / [0.2023, 0.1994, 0.201][c]);
      expected.forEach((value, channel) => {
        for (const place of [0, 1023]) expect(image.data[1024 * channel + place]).toBeCloseTo(value, 6);
      });
    }
  });

  it('of a hundred classes has the finer class second', () => {
    const { image, label } = parseCifar(records(record([19, 99], 1), record([3, 0], 2)), 100);
    expect([...label.data]).toEqual([99, 0]);
    expect([image.dims, image.data[0], image.data[3072]]).toEqual([[2, 3, 32, 32], 1, 2]);
  });

  test('mistakes are named', async () => {
    const cut = { ...ten, 'data_batch_3.bin': record([1], 1).subarray(1) };
    await expect(cifar(home('cut', cut), 10)).rejects.toThrow(
      /data_batch_3\.bin: 3072 bytes are no whole number of records of 3073, as CIFAR-10 has them/,
    );
    await expect(cifar(home('hundred', { 'train.bin': '' }), 100)).rejects.toThrow(
      /hundred lacks test\.bin of CIFAR-100/,
    );
    expect(() => parseCifar(record([10], 0), 10, 'a.bin')).toThrow('a.bin: picture 0 is of class 10, and there are 10');
    expect(() => parseCifar(new Uint8Array(0), 10)).toThrow('0 bytes are no whole number');
  });
});

describe('the Penn Treebank', () => {
  const files = { 'ptb.train.txt': ' a <unk> b \n a c \n', 'ptb.valid.txt': ' b a \n', 'ptb.test.txt': ' c \n' };

  it('has its words by spaces, and the ends of lines', async () => {
    const { training, validation, test: tests } = await pennTreebank(home('ptb', files));
    expect(training.vocabulary).toEqual(['<eos>', 'a', '<unk>', 'b', 'c']);
    expect([training, validation, tests].map(({ ids }) => [...ids])).toEqual([
      [1, 2, 3, 0, 1, 4, 0],
      [3, 1, 0],
      [4, 0],
    ]);
    expect(spacedTokens('x\r\n\ny').ids).toHaveLength(5);
  });

  test('mistakes are named', async () => {
    await expect(pennTreebank(home('two', { 'ptb.train.txt': 'a' }))).rejects.toThrow(
      /two lacks ptb\.valid\.txt, ptb\.test\.txt of the Penn Treebank/,
    );
    await expect(pennTreebank(home('new', { ...files, 'ptb.test.txt': 'zebra' }))).rejects.toThrow('"zebra"');
  });
});
