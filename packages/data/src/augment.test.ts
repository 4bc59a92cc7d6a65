import { describe, expect, it, test } from 'vitest';
import { augment, type AugmentOptions } from './augment.js';
import type { Dataset } from './dataset/dataset.js';
import type { DataTensor, Example } from './dataset/example.js';
import { fromArrays, fromElements, fromStream } from './dataset/from.js';

const [CHANNELS, HEIGHT, WIDTH] = [2, 3, 4];
const SIZE = CHANNELS * HEIGHT * WIDTH;
/** Pictures without a zero, in which no two pixels are equal. */
const pictures = (count: number): Dataset<Example> =>
  fromArrays({
    image: {
      data: Float32Array.from({ length: count * SIZE }, (_, i) => i + 1),
      dims: [count, CHANNELS, HEIGHT, WIDTH],
    },
    label: Array.from({ length: count }, (_, i) => i),
  });
const augmented = (count: number, options: Partial<AugmentOptions>) =>
  augment(pictures(count), { field: 'image', seed: 1, ...options });
const pixels = ({ image }: Example): number[] => Array.from((image as DataTensor).data, Number);
async function all(data: AsyncIterable<Example>): Promise<Example[]> {
  const list: Example[] = [];
  for await (const example of data) list.push(example);
  return list;
}

/** What a picture would be, by the definition: a border, a part of that, mirrored or not. */
function expected(
  picture: readonly number[],
  border: number,
  top: number,
  left: number,
  mirrored: boolean,
  fill: readonly number[],
) {
  return Array.from({ length: SIZE }, (_, i) => {
    const [channel, y, x] = [Math.floor(i / (HEIGHT * WIDTH)), Math.floor(i / WIDTH) % HEIGHT, i % WIDTH];
    const row = y + top - border;
    const column = (mirrored ? WIDTH - 1 - x : x) + left - border;
    const inside = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH;
    return inside ? picture[(channel * HEIGHT + row) * WIDTH + column] : fill[channel];
  });
}

describe('augmented pictures', () => {
  it.each([
    [{ crop: 1 }, 9],
    [{ flip: true }, 2],
    [{ crop: 2, flip: true, fill: [-1, -2] }, 50],
  ] as const)('with %j are all parts of the picture with a border, each about as often', async (options, ways) => {
    const { crop: border, flip, fill } = { crop: 0, flip: false, fill: [0, 0], ...options };
    const count = 40 * ways;
    const [before, after] = [await all(pictures(count)), await all(augmented(count, options))];
    const sides = Array.from({ length: 2 * border + 1 }, (_, i) => i);
    const places = sides.flatMap((top) =>
      sides.flatMap((left) => (flip ? [true, false] : [false]).map((m) => [top, left, m] as const)),
    );
    const found = new Map<string, number>();
    after.forEach((example, i) => {
      expect(example.label).toBe(i);
      const picture = pixels(before[i]);
      const place = places.find((each) => expected(picture, border, ...each, fill).join() === pixels(example).join());
      found.set(String(place), (found.get(String(place)) ?? 0) + 1);
    });
    expect(found.size).toBe(ways);
    expect(found.has('undefined')).toBe(false);
    // 40 of each, with a deviation of at most √40: five of them away is one case in a million.
    for (const times of found.values()) expect(Math.abs(times - 40)).toBeLessThan(5 * Math.sqrt(40));
  });

  it('are others in every pass and for every seed, and the same again otherwise', async () => {
    const data = augmented(20, { crop: 2, flip: true });
    const texts = async (from: AsyncIterable<Example>) => JSON.stringify((await all(from)).map(pixels));
    expect(await texts(data.read(1))).toBe(await texts(augmented(20, { crop: 2, flip: true }).read(1)));
    expect(await texts(data.read(1))).not.toBe(await texts(data.read(0)));
    expect(await texts(augmented(20, { crop: 2, flip: true, seed: 2 }))).not.toBe(await texts(data));
  });

  it('go on from a position, shuffled or of a stream, with what an uninterrupted run sees', async () => {
    const stream = fromStream('pictures', () => pictures(10).read());
    for (const data of [
      augmented(10, { crop: 1 }).shuffle(3).batch(4),
      augment(stream, { field: 'image', seed: 1, crop: 1 }).batch(4),
    ]) {
      const reader = data.reader();
      for (let i = 0; i < 6; i++) await reader.next();
      const resumed = data.reader();
      await resumed.resume(JSON.parse(JSON.stringify(reader.position())) as ReturnType<typeof reader.position>);
      expect(await resumed.next()).toEqual(await reader.next());
    }
    const other = augmented(10, { crop: 2 }).reader();
    await expect(other.resume(augmented(10, { crop: 1 }).reader().position())).rejects.toThrow(
      'augment(image: crop 2, seed 1)',
    );
  });

  it('may be grey, of one channel without an axis for it', async () => {
    const grey = fromElements<Example>([{ x: { data: Uint8Array.of(1, 2, 3, 4), dims: [2, 2] } }]);
    const passes = await Promise.all(
      Array.from({ length: 20 }, async (_, pass) =>
        pixels({ image: (await all(augment(grey, { field: 'x', seed: 0, flip: true }).read(pass)))[0].x }),
      ),
    );
    expect(new Set(passes.map(String))).toEqual(new Set(['1,2,3,4', '2,1,4,3']));
  });

  test.each<[Partial<AugmentOptions>, string]>([
    [{ crop: -1 }, 'augment: crop must be a whole number of at least 0, got -1'],
    [{ seed: 0.5 }, 'augment: seed must be a whole number in [0, 2³²), got 0.5'],
    [{ field: 'picture' }, "augment: there is no field 'picture' (there are: image, label)"],
    [
      { field: 'label' },
      "augment: 'label' is a number, and no picture of numbers [channels, height, width] or [height, width]",
    ],
  ])('%j is a mistake', async (options, message) => {
    await expect((async () => all(augmented(2, options)))()).rejects.toThrow(message);
  });
});
