import { pad, reshape, slice, type Rank, type Tensor4D } from '@tensorflow/tfjs-core';

/** Puts stride − 1 zeros after every row and column of images [n, h, w, c]. */
export function withZerosBetween(images: Tensor4D, [strideHeight, strideWidth]: readonly [number, number]): Tensor4D {
  if (strideHeight === 1 && strideWidth === 1) return images;
  const [batch, height, width, channels] = images.shape;
  const apart = pad(reshape(images, [batch, height, 1, width, 1, channels]), [
    [0, 0],
    [0, 0],
    [0, strideHeight - 1],
    [0, 0],
    [0, strideWidth - 1],
    [0, 0],
  ]);
  return reshape<Rank.R4>(apart, [batch, height * strideHeight, width * strideWidth, channels]);
}

/**
 * The window of images [n, h, w, c] that begins at `start` (row, column) and has `size` (height, width); zero where it
 * reaches beyond them.
 */
export function window(images: Tensor4D, start: readonly [number, number], size: readonly [number, number]): Tensor4D {
  const [batch, height, width, channels] = images.shape;
  const [top, left] = start.map((begin) => Math.max(0, -begin));
  const bottom = Math.max(0, start[0] + size[0] - height);
  const right = Math.max(0, start[1] + size[1] - width);
  const padded = pad(images, [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]);
  return slice(padded, [0, start[0] + top, start[1] + left, 0], [batch, ...size, channels]);
}
