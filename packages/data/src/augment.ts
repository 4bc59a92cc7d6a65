import { kinds, type OptionKind } from '@adakit/core';
import type { Dataset } from './dataset/dataset.js';
import { emptyLike, isTensor, type DataTensor, type Example } from './dataset/example.js';
import { Draws } from './dataset/random-order.js';
import { DataError, requireDataset, requireOptions } from './error.js';

/** How pictures are changed at random. */
export interface AugmentOptions {
  /** The field of the pictures: tensors [channels, height, width] or [height, width]. */
  readonly field: string;
  /** Of all that is drawn: a whole number in [0, 2³²). */
  readonly seed: number;
  /**
   * Pixels of a border that is put around a picture, of which a part as large as the picture is taken: any of (2n + 1)²
   * places with the same probability. Default: 0.
   */
  readonly crop?: number;
  /** Whether every other picture, at random, is mirrored from left to right. Default: no. */
  readonly flip?: boolean;
  /** What the border is filled with, for each channel. Default: 0, black where pixels are 0…1. */
  readonly fill?: readonly number[];
}

/**
 * Pictures cropped and mirrored at random, as trainings on small pictures do (He et al. 2015, section 4.2: a border of 4). What
 * is drawn is a function of seed, pass and the place of the example alone: augment before `shuffle`, and an example is changed
 * in the same way wherever it comes in a pass, and in another way in the next one.
 *
 * @throws DataError `invalid-argument`; when applied `unknown-column`, and `invalid-data` for what is no picture
 */
export function augment(data: Dataset<Example>, options: AugmentOptions): Dataset<Example> {
  requireDataset('augment', data);
  requireOptions('augment', options, {
    field: kinds.required(kinds.text),
    seed: kinds.required(kinds.seed),
    crop: kinds.count(),
    flip: kinds.flag,
    fill: kinds.numbers,
  } satisfies Record<keyof AugmentOptions, OptionKind>);
  const { field, seed, crop = 0, flip = false, fill = [] } = options;
  let draws: { readonly pass: number; readonly of: Draws } | undefined;
  const change = (example: Example, { pass, index }: { readonly pass: number; readonly index: number }): Example => {
    if (draws?.pass !== pass) draws = { pass, of: new Draws('augment', seed, pass) };
    const draw = (which: number, below: number): number => draws?.of.at(4 * index + which, below) ?? 0;
    const shift = [draw(0, 2 * crop + 1) - crop, draw(1, 2 * crop + 1) - crop] as const;
    return { ...example, [field]: moved(pictureOf(example, field), shift, flip && draw(2, 2) === 1, fill) };
  };
  const parts = [`crop ${crop}`, ...(flip ? ['flip'] : []), `seed ${seed}`];
  return data.map(change, `augment(${field}: ${parts.join(', ')})`);
}

function pictureOf(example: Example, field: string): DataTensor {
  if (!Object.hasOwn(example, field)) {
    throw new DataError(
      'unknown-column',
      `augment: there is no field '${field}' (there are: ${Object.keys(example).join(', ')})`,
    );
  }
  const value = example[field];
  if (isTensor(value) && [2, 3].includes(value.dims.length) && typeof value.data.at(0) === 'number') return value;
  const given = isTensor(value) ? `${value.data.constructor.name} [${value.dims.join(', ')}]` : `a ${typeof value}`;
  throw new DataError(
    'invalid-data',
    `augment: '${field}' is ${given}, and no picture of numbers [channels, height, width] or [height, width]`,
  );
}

/** The part of a picture with a border that lies so many rows lower and columns further right. */
function moved(
  { data, dims }: DataTensor,
  [down, right]: readonly [number, number],
  mirrored: boolean,
  fill: readonly number[],
): DataTensor {
  if (down === 0 && right === 0 && !mirrored) return { data, dims };
  const [height, width] = dims.slice(-2);
  const result = emptyLike(data, data.length);
  for (let row = 0; row < data.length / width; row++) {
    const channel = Math.floor(row / height);
    const y = (row % height) + down;
    const start = (channel * height + y) * width;
    const border = fill.at(channel) ?? 0;
    for (let column = 0; column < width; column++) {
      const x = mirrored ? width - 1 - column + right : column + right;
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      result[row * width + column] = inside ? data[start + x] : border;
    }
  }
  return { data: result, dims };
}
