import { elementCount } from '@adakit/core';
import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { TO_THE_END, windowExtent, type PlacedWindows } from './windows.js';

/** The axis at which the spatial ones begin. */
export const CHANNELS_FIRST = 2;
export const CHANNELS_LAST = 1;

/**
 * For every offset in the kernel, in row-major order, the elements of x that it meets: as many as there are windows.
 *
 * @param padding what lies around x; zeros, when it is left out
 */
export function atOffsets(
  e: Emitter,
  x: Value,
  windows: PlacedWindows,
  firstAxis: number,
  padding?: Value,
): readonly Value[] {
  const padded = pad(e, x, windows, firstAxis, padding);
  const { kernel, strides, dilations } = windows;
  e.allow(elementCount(kernel));
  const axes = kernel.flatMap((length, i) => (length > 1 || strides[i] > 1 ? [i] : []));
  if (axes.length === 0) return [padded];
  return indicesOf(kernel).map((offset) =>
    e.slice(padded, {
      starts: axes.map((i) => offset[i] * dilations[i]),
      // Counted from the end, so that the length may be free.
      ends: axes.map((i) => offset[i] * dilations[i] + 1 - windowExtent(windows, i) || TO_THE_END),
      axes: axes.map((i) => firstAxis + i),
      steps: axes.map((i) => strides[i]),
    }),
  );
}

/** x with its padding around it. */
export function pad(e: Emitter, x: Value, { begin, end }: PlacedWindows, firstAxis: number, padding?: Value): Value {
  if ([...begin, ...end].every((length) => length === 0)) return x;
  const rank = begin.length + 2;
  const spread = (lengths: readonly number[]) => {
    const pads = new Array<number>(rank).fill(0);
    lengths.forEach((length, i) => (pads[firstAxis + i] = length));
    return pads;
  };
  const pads = e.int64([...spread(begin), ...spread(end)]);
  return e.node('Pad', padding === undefined ? [x, pads] : [x, pads, padding]);
}

/** All places in a box of these lengths, in row-major order. */
export function indicesOf(lengths: readonly number[]): readonly (readonly number[])[] {
  return lengths.reduce<readonly (readonly number[])[]>(
    (heads, length) => heads.flatMap((head) => Array.from({ length }, (_, i) => [...head, i])),
    [[]],
  );
}
