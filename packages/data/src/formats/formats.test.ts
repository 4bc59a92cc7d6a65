import { gzipSync } from 'fflate';
import { encodeTensors, storeTensor } from '@adakit/state';
import { tensor32 } from '@adakit/core';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it, test } from 'vitest';
import {
  columns,
  csv,
  jsonLines,
  parquet,
  parseIdx,
  parseNpy,
  parseNpz,
  parseSafetensors,
  characters,
  words,
  nextTokens,
} from '../index.js';

const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));
async function all<T>(elements: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const element of elements) list.push(element);
  return list;
}
/** The text cut after every character, as a stream may be. */
const inPieces = (text: string) =>
  async function* () {
    for (const byte of new TextEncoder().encode(text)) yield await Promise.resolve(Uint8Array.of(byte));
  };

/** Written by NumPy 2. */
const pad = (header: string): string => header.padEnd(117) + '\n';
const npy = (header: string, elements: ArrayBufferView): Uint8Array =>
  Uint8Array.of(
    0x93,
    ...Buffer.from('NUMPY'),
    1,
    0,
    118,
    0,
    ...Buffer.from(pad(header)),
    ...new Uint8Array(elements.buffer),
  );

describe('an .npy file', () => {
  test('as NumPy writes it gives its elements and shape', () => {
    const file = bytes(
      'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAACAPwAAAEAAAEBAAACAQAAAoEA=',
    );
    expect(parseNpy(file)).toEqual({ data: Float32Array.of(0, 1, 2, 3, 4, 5), dims: [2, 3] });
    expect(file).toEqual(
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", Float32Array.of(0, 1, 2, 3, 4, 5)),
    );
  });

  test.each([
    [
      'column-major',
      "{'descr': '<i8', 'fortran_order': True, 'shape': (2, 3), }",
      BigInt64Array.of(0n, 3n, 1n, 4n, 2n, 5n),
      { data: BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 5n), dims: [2, 3] },
    ],
    [
      'big-endian',
      "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }",
      Uint8Array.of(0, 1, 0, 2),
      { data: Int16Array.of(1, 2), dims: [2] },
    ],
    [
      'half precision',
      "{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }",
      Uint16Array.of(0x3800, 0xc000),
      { data: Float32Array.of(0.5, -2), dims: [2] },
    ],
    [
      'one number',
      "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
      Float64Array.of(1.5),
      { data: Float64Array.of(1.5), dims: [] },
    ],
    [
      'true and false',
      "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }",
      Uint8Array.of(1, 0),
      { data: Uint8Array.of(1, 0), dims: [2] },
    ],
  ])('%s', (_, header, elements, expected) => {
    expect(parseNpy(npy(header, elements))).toEqual(expected);
  });

  test.each([
    [
      'of texts',
      npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", Uint8Array.of(97, 0, 0, 0)),
      "elements that are no numbers ('<U1')",
    ],
    [
      'cut off',
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", Float32Array.of(1, 2)),
      'should have 12 bytes of elements for shape [3], has 8',
    ],
    ['that is none', Uint8Array.from(Buffer.from('something else')), 'x.npy: is no .npy file'],
  ])('%s is refused', (_, file, message) => {
    expect(() => parseNpy(file, 'x.npy')).toThrow(message);
  });
});

test('an .npz file gives arrays by name', () => {
  const file = bytes(
    'UEsDBC0AAAAIAAAAIQBSMxP7//////////8FABQAeC5ucHkBABAAkAAAAAAAAABOAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GiY6mjoKtQoUAC4GMGiwBxIOQOQAAFBLAwQtAAAACAAAACEA7hm7Xf//////////BQAUAHkubnB5AQAQAIIAAAAAAAAARgAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBek2SorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpGOpo6CrUKFAAuRgYAUEsBAi0DLQAAAAgAAAAhAFIzE/tOAAAAkAAAAAUAAAAAAAAAAAAAAIABAAAAAHgubnB5UEsBAi0DLQAAAAgAAAAhAO4Zu11GAAAAggAAAAUAAAAAAAAAAAAAAIABhQAAAHkubnB5UEsFBgAAAAACAAIAZgAAAAIBAAAAAA==',
  );
  expect(parseNpz(file)).toEqual({
    x: { data: Float32Array.of(0, 1, 2, 3), dims: [4] },
    y: { data: Uint8Array.of(1, 0), dims: [2] },
  });
  expect(() => parseNpz(file.subarray(0, 50), 'x.npz')).toThrow('x.npz: is no .npz file');
});

test('a safetensors file gives tensors by name', () => {
  const file = encodeTensors(
    new Map([
      ['x', storeTensor(tensor32([1, 2], [1, 2]))],
      ['n', { dtype: 'I64', shape: [1], bytes: new Uint8Array(BigInt64Array.of(-3n).buffer) }],
    ]),
  );
  expect(parseSafetensors(file)).toEqual({
    x: { data: Float32Array.of(1, 2), dims: [1, 2] },
    n: { data: BigInt64Array.of(-3n), dims: [1] },
  });
});

describe('an IDX file', () => {
  const file = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6);
  const expected = { data: Uint8Array.of(1, 2, 3, 4, 5, 6), dims: [2, 3] };

  it('gives shape and elements, compressed or not', () => {
    expect(parseIdx(file)).toEqual(expected);
    expect(parseIdx(gzipSync(file))).toEqual(expected);
    expect(parseIdx(Uint8Array.of(0, 0, 0x0b, 1, 0, 0, 0, 1, 1, 2))).toEqual({ data: Int16Array.of(258), dims: [1] });
  });

  it('cut at any byte is refused, naming the file', () => {
    for (let length = 0; length < file.length; length++) {
      expect(() => parseIdx(file.subarray(0, length), 'some/file')).toThrow(/^some\/file: .*(truncated|too few)/);
    }
    expect(() => parseIdx(gzipSync(file).subarray(0, 12), 'f')).toThrow('f: is damaged');
    expect(() => parseIdx(Uint8Array.of(...file, 7), 'f')).toThrow('1 bytes too many');
    expect(() => parseIdx(Uint8Array.from(Buffer.from('PNG image')), 'f')).toThrow('starts with 0x504e4720');
  });
});

describe('CSV', () => {
  const text = '\ufeffname,width, height\r\n"a, ""b""\nc",1,-2.5e1\r\n\r\nd,,3\r\n';
  const rows = [
    { name: 'a, "b"\nc', width: 1, height: -25 },
    { name: 'd', width: '', height: 3 },
  ];
  it('gives typed rows by column, however the text arrives', async () => {
    expect(await all(csv(text))).toEqual(rows);
    expect(await all(csv(inPieces(text)))).toEqual(rows);
  });

  it('may have tabs and no header', async () => {
    expect(await all(csv('1\t2\n3\t4', { delimiter: '\t', columns: ['a', 'b'] }))).toEqual([
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ]);
  });

  test.each([
    ['a,b\n1,2\n3\n', 'f.csv: record 3 has 1 fields and there are 2 columns (a, b)'],
    ['a,a\n1,2\n', "two columns are called 'a'"],
    ['', 'f.csv: is empty'],
  ])('%j is refused', async (wrong, message) => {
    await expect(all(csv(wrong, { name: 'f.csv' }))).rejects.toThrow(message);
  });
});

describe('columns', () => {
  const choose = columns({ x: ['w', 'h'], labels: { from: 'kind', classes: ['a', 'b'] }, weight: 'w' });
  it('make a tensor of several, and numbers of classes', () => {
    expect(choose({ w: 1, h: 2, kind: 'b' })).toEqual({
      x: { data: Float32Array.of(1, 2), dims: [2] },
      labels: 1n,
      weight: 1,
    });
  });
  test.each([
    [{ w: 1, kind: 'a' }, "there is no column 'h', did you mean 'w'? (there are: w, kind)"],
    [{ w: 1, H: 2, kind: 'a' }, "no column 'h', did you mean 'H'?"],
    [{ w: 1, h: '', kind: 'a' }, "column 'h' holds nothing where a number is needed"],
    [{ w: 1, h: 2, kind: 'c' }, `column 'kind' holds "c", which is none of the classes (a, b)`],
  ])('%j is refused', (row, message) => {
    expect(() => choose(row)).toThrow(message);
  });
});

describe('JSON lines', () => {
  it('give an object a line, arrays as tensors', async () => {
    const text = '{"x": [[1, 2], [3, 4]], "y": "é"}\n\n{"x": [[5, 6], [7, 8]], "y": true}';
    const expected = [
      { x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] }, y: 'é' },
      { x: { data: Float32Array.of(5, 6, 7, 8), dims: [2, 2] }, y: true },
    ];
    expect(await all(jsonLines(text))).toEqual(expected);
    expect(await all(jsonLines(inPieces(text)))).toEqual(expected);
  });
  it('keep axes of one row, or of none', async () => {
    expect(await all(jsonLines('{"one": [[1, 2]], "none": []}'))).toEqual([
      { one: { data: Float32Array.of(1, 2), dims: [1, 2] }, none: { data: new Float32Array(), dims: [0] } },
    ]);
  });
  test.each([
    ['{"a": 1}\n{', 'f.jsonl, line 2: '],
    ['[1]', 'f.jsonl, line 1: must be an object'],
    ['{"a": [[1], [2, 3]]}', "f.jsonl, line 1: 'a' must be an array of numbers with rows of equal length"],
    ['{"a": null}', "f.jsonl, line 1: 'a' is null"],
  ])('%j is refused', async (text, message) => {
    await expect(all(jsonLines(text, 'f.jsonl'))).rejects.toThrow(message);
  });
});

describe('Parquet', () => {
  const file = new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'x', data: [0.5, 1.5, 2.5, 3.5, 4.5], type: 'DOUBLE' },
        { name: 'n', data: [1n, 2n, 3n, 4n, 5n], type: 'INT64' },
        { name: 'kind', data: ['a', 'b', 'a', 'b', 'a'], type: 'STRING' },
      ],
      rowGroupSize: 2,
    }),
  );
  it('gives rows of all row groups, also from the middle', async () => {
    const data = await parquet(file);
    expect(data.length).toBe(5);
    expect(await all(data.read(0, 3))).toEqual([
      { x: 3.5, n: 4n, kind: 'b' },
      { x: 4.5, n: 5n, kind: 'a' },
    ]);
    expect(await all(await parquet(file, { columns: ['x'] }))).toEqual([0.5, 1.5, 2.5, 3.5, 4.5].map((x) => ({ x })));
  });
  it('is refused when damaged, or for a column that it has not', async () => {
    await expect(parquet(file.subarray(0, 20), { name: 'f' })).rejects.toThrow('f: cannot be read as Parquet');
    await expect(parquet(file, { columns: ['y'] })).rejects.toThrow("there is no column 'y'; there are x, n, kind");
  });
});

describe('tokens', () => {
  it('are characters or words, most frequent first', () => {
    expect(characters('abba🙂b')).toEqual({ ids: Int32Array.of(1, 0, 0, 1, 2, 0), vocabulary: ['b', 'a', '🙂'] });
    expect(words("Don't stop, don't!").vocabulary).toEqual(["don't", '!', ',', 'stop']);
    expect(words('a b a c a b', { most: 2 })).toEqual({
      ids: Int32Array.of(1, 0, 1, 0, 1, 0),
      vocabulary: ['<unknown>', 'a'],
    });
    expect(() => characters('ax', { vocabulary: ['a'] })).toThrow(`the text holds "x", which the vocabulary lacks`);
  });

  it('in parts beside each other go on from batch to batch', async () => {
    const text = characters('abcdefghijklmnopqrstuvw'); // 23 letters, 11 in each of two parts
    const letters = ({ data }: { data: ArrayLike<number | bigint> }): string =>
      Array.from(data, (id) => text.vocabulary[Number(id)]).join('');
    const batches = await all(nextTokens(text, 3, { streams: 2 }).batch(2));
    expect(batches.map(({ input }) => letters(input))).toEqual(['abclmn', 'defopq', 'ghirst']);
    expect(batches.map(({ target }) => letters(target))).toEqual(['bcdmno', 'efgpqr', 'hijstu']);
    expect(() => nextTokens(text, 3, { streams: 6 })).toThrow(
      'the text has 23 tokens, too few for 6 parts with windows of 3 and one that follows',
    );
  });

  it('in windows come with the ones that follow', async () => {
    const data = nextTokens(characters('abcdefg'), 3, { stride: 2 });
    expect(data.length).toBe(2);
    expect(await data.at(1)).toEqual({
      input: { data: BigInt64Array.of(2n, 3n, 4n), dims: [3] },
      target: { data: BigInt64Array.of(3n, 4n, 5n), dims: [3] },
    });
    expect(() => nextTokens(characters('ab'), 2)).toThrow('the text has 2 tokens, too few for windows of 2');
  });
});
