import type { Kernel, Kernels } from './kernel.js';
import { elementAt, positiveAxis, tabulate } from './tensor.js';

/** Where the element at `place`, which may lie outside [0, length), is copied from. */
const SOURCES: Readonly<Record<string, (place: number, length: number) => number>> = {
  constant: (place) => place,
  edge: (place, length) => Math.min(Math.max(place, 0), length - 1),
  reflect: (place, length) => (place < 0 ? -place : place >= length ? 2 * (length - 1) - place : place),
};

const pad: Kernel = ({ input, inputs, ints, attributes }) => {
  const [x, pads] = [input(0), input(1).data];
  const rank = x.dims.length;
  const [before, after] = [new Array<number>(rank).fill(0), new Array<number>(rank).fill(0)];
  const axes = ints(3) ?? x.dims.map((_, axis) => axis);
  axes.forEach((axis, i) => {
    before[positiveAxis(axis, rank)] = pads[i];
    after[positiveAxis(axis, rank)] = pads[axes.length + i];
  });
  const source = SOURCES[attributes.string('mode', 'constant')];
  return tabulate(
    x.dtype,
    x.dims.map((dim, axis) => before[axis] + dim + after[axis]),
    (index) => {
      const from = index.map((place, axis) => source(place - before[axis], x.dims[axis]));
      return from.every((place, axis) => place >= 0 && place < x.dims[axis])
        ? elementAt(x, from)
        : (inputs[2]?.data[0] ?? 0);
    },
  );
};

export const padding: Kernels = { Pad: pad };
