import type { SharpConstructor } from 'sharp';
import { kinds, type OptionKind } from '@adakit/core';
import { readdir } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { Dataset } from '../dataset/dataset.js';
import type { Example } from '../dataset/example.js';
import { indexed } from '../dataset/source.js';
import { DataError, requireOptions, requireText } from '../error.js';
import { cannotRead } from './files.js';

/** How images are read. */
export interface ImagesOptions {
  /** Height and width that every image is brought to. */
  readonly size: readonly [number, number];
  /** 3: red, green, blue; 1: grey. Default: 3. */
  readonly channels?: 1 | 3;
  /** `[channels, height, width]`, the default, as models from PyTorch take them, or `[height, width, channels]`. */
  readonly layout?: 'NCHW' | 'NHWC';
  /** How an image of another aspect fills the size: cut off at its sides, the default, or stretched. */
  readonly fit?: 'cover' | 'fill';
}

/** Formats that sharp reads. */
const ENDINGS = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.avif', '.tif', '.tiff']);

/**
 * Images in one folder a class: `image`, float32 in 0…1, and `label`, the place of the folder's name in the sorted list
 * `classes`. Decoded by the package sharp when they are needed.
 *
 * @throws DataError `cannot-read`, `invalid-data` for a folder without images, `needs-package`
 */
export async function images(
  folder: string,
  options: ImagesOptions,
): Promise<{ readonly data: Dataset<Example>; readonly classes: readonly string[] }> {
  requireText('images: the folder', folder);
  requireOptions('images', options, {
    size: kinds.required(
      kinds.kind(
        'height and width, two whole numbers of at least 1',
        (size) =>
          Array.isArray(size) && size.length === 2 && size.every((each) => Number.isSafeInteger(each) && each >= 1),
      ),
    ),
    channels: kinds.oneOf(1, 3),
    layout: kinds.oneOf('NCHW', 'NHWC'),
    fit: kinds.oneOf('cover', 'fill'),
  } satisfies Record<keyof ImagesOptions, OptionKind>);
  const { size, channels = 3, layout = 'NCHW', fit = 'cover' } = options;
  const [height, width] = size;
  const sharp = await loadSharp();
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw cannotRead(folder, error);
  });
  const classes = entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  const files: { readonly path: string; readonly label: number }[] = [];
  for (const [label, name] of classes.entries()) {
    const names = (await readdir(join(folder, name))).filter((each) => ENDINGS.has(extname(each).toLowerCase())).sort();
    files.push(...names.map((each) => ({ path: join(folder, name, each), label })));
  }
  if (files.length === 0) {
    throw new DataError(
      'invalid-data',
      `${folder} holds no images in folders, one a class: ${join(folder, 'cat', '1.jpg')}, … (${[...ENDINGS].join(' ')})`,
    );
  }
  const decode = async ({ path, label }: (typeof files)[number]): Promise<Example> => {
    const image = sharp(path).resize(width, height, { fit }).removeAlpha();
    const decoded = channels === 1 ? image.greyscale() : image.toColourspace('srgb');
    const pixels = await decoded
      .raw()
      .toBuffer()
      .catch((error: unknown) => {
        throw new DataError('invalid-data', `${path}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      });
    const data = new Float32Array(channels * height * width);
    const area = height * width;
    for (let i = 0; i < data.length; i++) {
      const target = layout === 'NHWC' ? i : (i % channels) * area + Math.floor(i / channels);
      data[target] = pixels[i] / 255;
    }
    return {
      image: { data, dims: layout === 'NHWC' ? [height, width, channels] : [channels, height, width] },
      label: BigInt(label),
    };
  };
  const description = `images(${basename(folder)}: ${files.length} in ${classes.length} classes, ${layout} ${channels}×${height}×${width} ${fit})`;
  return { data: new Dataset(indexed(description, files.length, (index) => decode(files[index]))), classes };
}

async function loadSharp(): Promise<SharpConstructor> {
  try {
    return (await import('sharp')).default;
  } catch (error) {
    throw new DataError(
      'needs-package',
      'images are decoded by the package sharp, which is not installed: npm install sharp',
      { cause: error },
    );
  }
}
