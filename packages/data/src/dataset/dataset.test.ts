import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Dataset } from './dataset.js';
import { sampleCount } from './operations.js';
import { fromArrays, fromElements, fromStream } from './from.js';
import type { Batch, Example } from './example.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const indexedNumbers = (count: number) => fromElements(numbers(count));
const streamed = (count: number) => fromStream('numbers', () => numbers(count));

async function all<T>(elements: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const element of elements) list.push(element);
  return list;
}
const asExamples = (data: Dataset<number>): Dataset<Example> => data.map((x) => ({ x }));
const values = (batch: Batch): number[] => Array.from(batch.x.data, Number);
const sorted = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);

describe.each([
  ['indexed data', indexedNumbers],
  ['a stream', streamed],
] as const)('%s', (_, make) => {
  test('shuffled have every element once a pass, in another order each time', async () => {
    const data = make(50).shuffle(7, make(1).isIndexed ? {} : { window: 10 });
    const passes = [await all(data.read(0)), await all(data.read(1))];
    for (const pass of passes) expect(sorted(pass)).toEqual(numbers(50));
    expect(passes[0]).not.toEqual(numbers(50));
    expect(passes[0]).not.toEqual(passes[1]);
  });

  test('shuffled are the same for the same seed and others for another', async () => {
    expect(await all(make(50).shuffle(7))).toEqual(await all(make(50).shuffle(7)));
    expect(await all(make(50).shuffle(7))).not.toEqual(await all(make(50).shuffle(8)));
  });

  test('split in parts without common elements, the same in every pass', async () => {
    const [train, validation] = make(100).split([0.8, 0.2], { seed: 3 });
    const [a, b] = [await all(train), await all(validation)];
    expect(sorted([...a, ...b])).toEqual(numbers(100));
    expect(Math.abs(b.length - 20)).toBeLessThan(make(1).isIndexed ? 1 : 13); // 3 σ of 100 draws with p = 0.2
    expect(await all(validation.read(1))).toEqual(b);
  });

  test('in batches keep, drop or fill up the last one', async () => {
    const lists = async (last: 'keep' | 'drop' | 'pad') =>
      (await all(asExamples(make(7)).batch(3, { last }))).map(values);
    expect(await lists('keep')).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(await lists('drop')).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(await lists('pad')).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 6, 6],
    ]);
    const padded = await all(asExamples(make(7)).batch(3, { last: 'pad' }));
    expect(padded.map(sampleCount)).toEqual([3, 3, 1]);
  });

  test('take, skip, filter and prefetch do as they say', async () => {
    expect(await all(make(10).skip(2).take(3))).toEqual([2, 3, 4]);
    expect(await all(make(10).filter((x) => x % 3 === 0))).toEqual([0, 3, 6, 9]);
    expect(await all(make(10).prefetch(4))).toEqual(numbers(10));
    expect(await all(make(5).take(9))).toEqual(numbers(5));
  });

  test('a reader that resumes anywhere goes on with the very batches that would have followed', async () => {
    const window = make(1).isIndexed ? {} : { window: 8 };
    const prepared = () =>
      asExamples(make(23).map((x) => x + 1))
        .shuffle(5, window)
        .batch(4)
        .prefetch(2);
    const whole = prepared().reader();
    const next = async (reader: typeof whole): Promise<number[]> => {
      const batch = (await reader.next()) ?? (await reader.next());
      if (batch === undefined) throw new Error('an empty pass');
      return values(batch);
    };
    const expected: number[][] = [];
    const positions = [whole.position()];
    for (let i = 0; i < 14; i++) {
      expected.push(await next(whole));
      positions.push(whole.position());
    }
    for (const [i, position] of positions.slice(0, 14).entries()) {
      const reader = prepared().reader();
      await reader.resume(JSON.parse(JSON.stringify(position)) as typeof position);
      expect(await next(reader), `after ${i} batches`).toEqual(expected[i]);
    }
  });
});

test('a resumed reader of indexed data makes none of the elements before', async () => {
  const made: number[] = [];
  const data = indexedNumbers(100).map((x) => (made.push(x), x));
  const reader = data.reader();
  await reader.resume({ pass: 2, taken: 90, data: data.description });
  expect(await reader.next()).toBe(90);
  expect(made).toEqual([90]);
});

it('refuses a position in other data, or in the same prepared differently', async () => {
  const position = asExamples(indexedNumbers(10)).shuffle(1).batch(2).reader().position();
  const other = asExamples(indexedNumbers(10)).shuffle(2).batch(2).reader();
  await expect(other.resume(position)).rejects.toThrow('elements(10) | shuffle(seed 1) | batch(2, keep)');
  const renamed = (field: string) =>
    fromArrays({ a: [1], b: [2] })
      .rename({ x: field })
      .reader();
  await expect(renamed('a').resume(renamed('b').position())).rejects.toThrow('rename(x: b)');
  await expect(other.resume(null)).rejects.toThrow('null is no position in data');
});

test('an error while reading ahead is thrown when its element is due', async () => {
  const data = indexedNumbers(9)
    .map((x) => (x === 3 ? Promise.reject(new Error('three')) : x))
    .prefetch(5)
    .reader();
  expect([await data.next(), await data.next(), await data.next()]).toEqual([0, 1, 2]);
  await expect(data.next()).rejects.toThrow('three');
  // Going on means to try it again.
  await expect(data.next()).rejects.toThrow('three');
  expect(data.taken).toBe(3);
});

test('a stream that has become shorter than where a reader is to go on is told of, and is no end of the pass', async () => {
  const batches = (count: number) => asExamples(streamed(count)).batch(4);
  const position = { pass: 1, taken: 3, data: batches(10).description };
  const resumed = async (count: number) => {
    const reader = batches(count).reader();
    await reader.resume(position);
    return reader;
  };
  for (const count of [9, 10, 12]) expect(await (await resumed(count)).next()).toBeUndefined();
  expect(await (await resumed(13)).next()).toMatchObject({ x: { dims: [1] } });
  for (const count of [1, 8]) {
    const reader = await resumed(count);
    for (let i = 0; i < 2; i++) {
      await expect(reader.next()).rejects.toMatchObject({
        code: 'data-mismatch',
        message: expect.stringContaining('ends before the place to go on from, behind 3 elements of a pass') as string,
      });
    }
    expect(reader.position()).toEqual(position);
  }
});

test('what owes an element that may never come is closed without it', async () => {
  const stalled = fromStream('stalled', async function* () {
    yield 1;
    await new Promise(() => undefined);
    yield 2;
  });
  const reader = stalled.prefetch(2).reader();
  expect(await reader.next()).toBe(1);
  // It is being prepared.
  await new Promise((resolve) => setTimeout(resolve, 20));
  await reader.close();
  expect(reader.position()).toMatchObject({ pass: 0, taken: 1 });
});

test('a stream is closed when its reader is', async () => {
  let closed = false;
  const data = fromStream('open', function* () {
    try {
      yield 1;
      yield 2;
    } finally {
      closed = true;
    }
  }).reader();
  await data.next();
  await data.close();
  expect(closed).toBe(true);
});

test('collected streams can be had in any order', async () => {
  const data = await streamed(5).collect();
  expect([data.isIndexed, data.length, await data.at(3)]).toEqual([true, 5, 3]);
});

test('permutations are uniform: each of the 24 of four elements comes up as often', async () => {
  const counts = new Map<string, number>();
  for (let pass = 0; pass < 4800; pass++) {
    const order = (await all(indexedNumbers(4).shuffle(1).read(pass))).join('');
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  // 200 are expected; χ² of 23 degrees of freedom exceeds 49.7 once in a thousand generators.
  const chi = [...counts.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
  expect(counts.size).toBe(24);
  expect(chi).toBeLessThan(49.7);
});

test('arrays give views of their rows and batches of the same type', async () => {
  const x = { data: Float32Array.from(numbers(6)), dims: [3, 2] };
  const data = fromArrays({ x, labels: ['a', 'b', 'a'], y: Uint8Array.of(7, 8, 9) });
  expect(await data.at(1)).toEqual({
    x: { data: Float32Array.of(2, 3), dims: [2] },
    labels: 'b',
    y: { data: Uint8Array.of(8), dims: [] },
  });
  const [batch] = await all(data.map(({ x, y }) => ({ x, y })).batch(2));
  expect(batch).toEqual({
    x: { data: Float32Array.of(0, 1, 2, 3), dims: [2, 2] },
    y: { data: Uint8Array.of(7, 8), dims: [2] },
  });
});

describe('mistakes are named:', () => {
  test.each([
    [() => fromArrays({ a: [1, 2], b: [1] }), "'a' has 2 examples and 'b' has 1"],
    [
      () => fromArrays({ a: { data: new Float32Array(5), dims: [2, 2] } }),
      "'a' of shape [2, 2] needs 4 elements, got 5",
    ],
    [() => asExamples(indexedNumbers(3)).batch(0), 'batch: size must be a whole number of at least 1, got 0'],
    [
      () => asExamples(indexedNumbers(3)).batch(4, { last: 'drop' }),
      'there are 3 examples, too few for one batch of 4',
    ],
    [() => indexedNumbers(3).shuffle(-1), 'a seed must be a whole number in [0, 2³²), got -1'],
    [() => indexedNumbers(3).shuffle(1, { window: 3 }), 'a window is for streams'],
    [() => indexedNumbers(3).split([0.5, 0.6]), 'shares must be positive and add up to 1, got [0.5, 0.6]'],
    [() => streamed(3).split([0.5, 0.5], { seed: null }), 'give a seed'],
  ])('%#', (make, message) => {
    expect(make).toThrow(message);
  });

  test.each<[Example[], string]>([
    [[{ a: 'text' }], `field 'a' is text, such as "text"`],
    [[{ a: 1 }, { a: 1n }], "field 'a' holds numbers and bigints"],
    [[{ a: 1 }, { b: 1 }], "some examples have a field 'b' and others do not"],
    [
      [{ a: { data: new Float32Array(2), dims: [2] } }, { a: { data: new Float32Array(3), dims: [3] } }],
      "field 'a' has shape [2] in one example and [3] in another",
    ],
  ])('%#', async (examples, message) => {
    await expect(all(fromElements(examples).batch(2))).rejects.toThrow(message);
  });
});

test('any preparation resumes: an interrupted pass equals a whole one', async () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('shuffle' as const), n: fc.nat(9) }),
    fc.record({ op: fc.constant('take' as const), n: fc.nat(40) }),
    fc.record({ op: fc.constant('skip' as const), n: fc.nat(9) }),
    fc.record({ op: fc.constant('prefetch' as const), n: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ op: fc.constant('filter' as const), n: fc.integer({ min: 2, max: 4 }) }),
    fc.record({ op: fc.constant('half' as const), n: fc.nat(9) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { maxLength: 4 }),
      fc.nat(40),
      fc.nat(3),
      async (stream, steps, from, pass) => {
        let data: Dataset<number> = stream ? streamed(40) : indexedNumbers(40);
        for (const { op, n } of steps) {
          if (op === 'filter') data = data.filter((x) => x % n !== 0);
          else if (op === 'half') data = data.split([0.5, 0.5], { seed: n })[n % 2];
          else data = data[op](n);
        }
        expect(await all(data.read(pass, from))).toEqual((await all(data.read(pass))).slice(from));
      },
    ),
    { numRuns: 60 },
  );
});

describe('batches of arrays, which are gathered at once', () => {
  const kinds = {
    bytes: Uint8Array.from({ length: 40 }, (_, i) => i),
    shorts: Int16Array.from({ length: 40 }, (_, i) => -i),
    floats: Float32Array.from({ length: 40 }, (_, i) => i / 3),
    doubles: Float64Array.from({ length: 40 }, (_, i) => i / 7),
    longs: BigInt64Array.from({ length: 40 }, (_, i) => -BigInt(i) * 2n ** 40n),
  };
  const wide = { data: Float32Array.from({ length: 40 * 200 }, (_, i) => i), dims: [40, 10, 20] };
  const narrow = { data: Float32Array.from({ length: 40 * 3 }, (_, i) => Math.sin(i)), dims: [40, 3] };
  const arrays = fromArrays({ ...kinds, wide, narrow, words: Array.from({ length: 40 }, (_, i) => BigInt(i)) });
  /** Without what puts them together at once. */
  const oneByOne = arrays.map((example) => example);

  test.each([
    ['in order', (data: Dataset<Example>) => data],
    ['shuffled', (data: Dataset<Example>) => data.shuffle(3)],
    ['of a part', (data: Dataset<Example>) => data.split([0.7, 0.3])[0].shuffle(1)],
    ['of a range', (data: Dataset<Example>) => data.shuffle(2).skip(5).take(20)],
    ['renamed', (data: Dataset<Example>) => data.rename({ x: 'wide', y: 'bytes' }).shuffle(4)],
  ])('are those of examples put together one by one: %s', async (_, prepare) => {
    for (const last of ['keep', 'pad'] as const) {
      const expected = await all(prepare(oneByOne).batch(7, { last }).read(1));
      const batches = await all(prepare(arrays).batch(7, { last }).read(1));
      expect(batches).toEqual(expected);
      expect(batches.map(sampleCount)).toEqual(expected.map(sampleCount));
    }
  });

  test('keep the bits of numbers that are none', async () => {
    const bits = Uint32Array.of(0x7fa00001, 0xffc12345);
    const [batch] = await all(
      fromArrays({ x: new Float32Array(bits.buffer) })
        .shuffle(1)
        .batch(2),
    );
    expect(sorted([...new Uint32Array(batch.x.data.buffer)])).toEqual([...bits]);
  });

  test('do not need the fields that are left out, and need the others', async () => {
    expect(Object.keys((await all(arrays.rename({ a: 'bytes' }).batch(40)))[0])).toEqual(['a']);
    await expect(all(arrays.rename({ a: 'bites' }).batch(2))).rejects.toThrow(
      "no column 'bites', did you mean 'bytes'?",
    );
  });
});

test('what is read ahead is prepared after who takes an element has begun with it', async () => {
  const events: string[] = [];
  const data = indexedNumbers(3)
    .map((x) => (events.push(`prepare ${x}`), x))
    .prefetch(1);
  for await (const x of data) {
    events.push(`begin ${x}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    events.push(`end ${x}`);
  }
  expect(events).toEqual(
    [0, 1, 2].flatMap((x) => [
      ...(x === 0 ? ['prepare 0'] : []),
      `begin ${x}`,
      ...(x < 2 ? [`prepare ${x + 1}`] : []),
      `end ${x}`,
    ]),
  );
});

describe('what is no TypeScript may give something else:', () => {
  const three = (): Dataset<{ n: number }> => fromElements([{ n: 1 }, { n: 2 }, { n: 3 }]);
  test.each<[() => unknown, string]>([
    [() => three().map(undefined as never), 'map: change must be a function, got undefined'],
    [() => three().filter({} as never), 'filter: test must be a function, got Object'],
    [() => three().split(0.5 as never), 'split: shares must be a list, got 0.5'],
    [() => three().read(0, {} as never), 'read: from must be a whole number of at least 0, got [object Object]'],
    [() => fromElements(undefined as never), 'fromElements: elements must be a list, got undefined'],
    [() => fromArrays(undefined as never), 'fromArrays takes arrays by name, as { x, labels }, got undefined'],
    [() => fromArrays({ x: undefined as never }), "'x' must be an array or a tensor { data, dims }, got undefined"],
    [() => fromArrays({ x: { data: new Float32Array(2) } as never }), 'got data without dims'],
    [() => fromStream('s', [1] as never), 'fromStream: open must be a function, got Array'],
    [() => fromStream('s', () => undefined as never).collect(), 'stream(s): open must give what can be iterated'],
  ])('%#', async (call, message) => {
    const refusal = expect(Promise.resolve().then(call)).rejects;
    await refusal.toThrow(expect.objectContaining({ name: 'DataError' }));
    await refusal.toThrow(message);
  });
});
