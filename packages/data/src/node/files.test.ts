import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { csv } from '../formats/csv.js';
import { jsonLines } from '../formats/json-lines.js';
import { isTensor } from '../dataset/example.js';
import { csvFile, images, jsonLinesFile, parquetFile, readIdx, readTensors } from './index.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-data-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const written = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
async function all<T>(elements: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const element of elements) list.push(element);
  return list;
}

test('tables are read from files, again for every pass', async () => {
  const table = await csvFile(written('t.tsv', 'a\tb\n1\tx\n2\ty\n'));
  expect(await all(table)).toEqual([
    { a: 1, b: 'x' },
    { a: 2, b: 'y' },
  ]);
  expect(await all(table.read(1, 1))).toEqual([{ a: 2, b: 'y' }]);
  expect(await all(await jsonLinesFile(written('t.jsonl', '{"a": 1}\n')))).toEqual([{ a: 1 }]);
  const file = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'a', data: [1, 2], type: 'INT32' }] }));
  expect(await all(await parquetFile(written('t.parquet', file)))).toEqual([{ a: 1 }, { a: 2 }]);
});

describe.each([
  ['grown.csv', csvFile, 'a\n1\n2\n3\n4\n', '5\n'],
  ['grown.jsonl', jsonLinesFile, '{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n', '{"a": 5}\n'],
] as const)('%s', (name, open, text, more) => {
  const last = text.split('\n').slice(0, -2).join('\n').length + 1;

  it.each([
    ['longer', text + more],
    ['shorter, and long enough', text.slice(0, last)],
  ])('is refused where a run goes on if it has become %s', async (_, later) => {
    const path = written(name, text);
    const reader = (await open(path)).reader();
    await reader.next();
    writeFileSync(path, later);
    const resumed = (await open(path)).reader();
    await expect(resumed.resume(reader.position())).rejects.toMatchObject({
      code: 'data-mismatch',
      message: expect.stringMatching(`${name}, ${text.length} bytes[^]*${name}, ${later.length} bytes`) as string,
    });
    writeFileSync(path, text);
    const same = (await open(path)).reader();
    await same.resume(reader.position());
    expect(await same.next()).toEqual({ a: 2 });
  });

  it('has the same elements in every pass, whatever is appended in the meantime', async () => {
    const path = written(name, text);
    const table = await open(path);
    appendFileSync(path, more);
    expect(await all(table)).toEqual([1, 2, 3, 4].map((a) => ({ a })));
  });
});

test('an empty file has no elements', async () => {
  expect(await all(await jsonLinesFile(written('empty.jsonl', '')))).toEqual([]);
});

test('a text in memory is known by its size', async () => {
  const position = csv('a\n1\n2\n').reader().position();
  await expect(csv('a\n1\n2\n3\n').reader().resume(position)).rejects.toMatchObject({ code: 'data-mismatch' });
  const bytes = new TextEncoder().encode('{"a":1}\n');
  const lines = jsonLines(bytes).reader().position();
  await jsonLines(bytes).reader().resume(lines);
  await expect(jsonLines(bytes.subarray(1)).reader().resume(lines)).rejects.toMatchObject({ code: 'data-mismatch' });
});

test('tensors are read from files', async () => {
  const idx = written('t.idx', Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 7, 8));
  expect(await readIdx(idx)).toEqual({ data: Uint8Array.of(7, 8), dims: [2] });
  const header = "{'descr': '<i2', 'fortran_order': False, 'shape': (1,), }".padEnd(117);
  const npy = written('t.npy', Buffer.from(`\x93NUMPY\x01\x00\x76\x00${header}\n\x02\x01`, 'latin1'));
  expect(await readTensors(npy)).toEqual({ data: { data: Int16Array.of(258), dims: [1] } });
});

test('what cannot be read is named with the reason', async () => {
  const missing = join(folder, 'missing.csv');
  await expect(csvFile(missing)).rejects.toThrow(`cannot read ${missing}: there is no such file`);
  await expect(jsonLinesFile(folder)).rejects.toThrow(`cannot read ${folder}: it is a folder`);
  await expect(readIdx(join(folder, 'none'))).rejects.toThrow('there is no such file');
  await expect(readTensors('x.bin')).rejects.toThrow('tensors are read from .npy, .npz and .safetensors files');
});

describe('a folder of images', () => {
  const save = async (name: string, color: string): Promise<void> => {
    mkdirSync(join(folder, 'images', name), { recursive: true });
    await sharp({ create: { width: 6, height: 4, channels: 3, background: color } })
      .png()
      .toFile(join(folder, 'images', name, '1.png'));
  };

  it('gives images of one size with the number of their class', async () => {
    await save('red', '#ff0000');
    await save('blue', '#0000ff');
    const { data, classes } = await images(join(folder, 'images'), { size: [2, 3] });
    expect(classes).toEqual(['blue', 'red']);
    const { image, label } = await data.at(1);
    expect(label).toBe(1n);
    expect(image).toEqual({
      data: Float32Array.of(1, 1, 1, 1, 1, 1, ...new Array<number>(12).fill(0)),
      dims: [3, 2, 3],
    });
    const last = await images(join(folder, 'images'), { size: [1, 1], layout: 'NHWC' });
    expect((await last.data.at(0)).image).toEqual({ data: Float32Array.of(0, 0, 1), dims: [1, 1, 3] });
    const grey = (await (await images(join(folder, 'images'), { size: [1, 1], channels: 1 })).data.at(1)).image;
    expect(isTensor(grey) && grey.dims).toEqual([1, 1, 1]);
  });

  it('is refused without images, and a broken one is named', async () => {
    mkdirSync(join(folder, 'empty'), { recursive: true });
    await expect(images(join(folder, 'empty'), { size: [1, 1] })).rejects.toThrow(
      'holds no images in folders, one a class',
    );
    mkdirSync(join(folder, 'broken/a'), { recursive: true });
    const path = written('broken/a/x.png', 'no image');
    const { data } = await images(join(folder, 'broken'), { size: [1, 1] });
    await expect(data.at(0)).rejects.toThrow(path);
  });
});
