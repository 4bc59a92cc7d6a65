import type { Kernel, Kernels } from './kernel.js';
import { broadcastAt, broadcastDims, elementAt, positiveAxis, sizeOf, sum, tabulate, type Tensor } from './tensor.js';

function reshaped({ dtype, data }: Tensor, dims: readonly number[]): Tensor {
  return { dtype, dims, data };
}

const reshape: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const copies = attributes.int('allowzero', 0) === 0;
  const dims = input(1).data.map((dim, i) => (dim === 0 && copies ? x.dims[i] : dim));
  const rest = sizeOf(x.dims) / sizeOf(dims.filter((dim) => dim !== -1));
  return reshaped(
    x,
    dims.map((dim) => (dim === -1 ? rest : dim)),
  );
};

const flatten: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const axis = positiveAxis(attributes.int('axis', 1), x.dims.length);
  return reshaped(x, [sizeOf(x.dims.slice(0, axis)), sizeOf(x.dims.slice(axis))]);
};

const squeeze: Kernel = ({ input, ints }) => {
  const x = input(0);
  const axes = ints(1)?.map((axis) => positiveAxis(axis, x.dims.length));
  return reshaped(
    x,
    x.dims.filter((dim, axis) => (axes === undefined ? dim !== 1 : !axes.includes(axis))),
  );
};

const unsqueeze: Kernel = ({ input }) => {
  const x = input(0);
  const rank = x.dims.length + input(1).data.length;
  const axes = input(1).data.map((axis) => positiveAxis(axis, rank));
  const rest = [...x.dims];
  return reshaped(
    x,
    Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() ?? 1))),
  );
};

const transpose: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const perm = attributes.ints('perm') ?? x.dims.map((_, axis) => axis).reverse();
  return tabulate(
    x.dtype,
    perm.map((axis) => x.dims[axis]),
    (index) =>
      elementAt(
        x,
        x.dims.map((_, axis) => index[perm.indexOf(axis)]),
      ),
  );
};

const expand: Kernel = ({ input }) => {
  const x = input(0);
  return tabulate(x.dtype, broadcastDims(x.dims, input(1).data), (index) => broadcastAt(x, index));
};

const concat: Kernel = ({ inputs, input, attributes }) => {
  const parts = inputs.map((_, i) => input(i));
  const [{ dtype, dims }] = parts;
  const axis = positiveAxis(attributes.int('axis', 0), dims.length);
  const total = sum(parts.map((part) => part.dims[axis]));
  return tabulate(dtype, dims.with(axis, total), (index) => {
    let place = index[axis];
    for (const part of parts) {
      if (place < part.dims[axis]) return elementAt(part, index.with(axis, place));
      place -= part.dims[axis];
    }
    return NaN;
  });
};

const split: Kernel = ({ input, ints, attributes, node }) => {
  const x = input(0);
  const axis = positiveAxis(attributes.int('axis', 0), x.dims.length);
  const count = node.outputs.length;
  const piece = Math.ceil(x.dims[axis] / count);
  const sizes = ints(1) ?? node.outputs.map((_, i) => Math.min(piece, x.dims[axis] - i * piece));
  return sizes.map((size, i) => {
    const before = sum(sizes.slice(0, i));
    return tabulate(x.dtype, x.dims.with(axis, size), (index) => elementAt(x, index.with(axis, before + index[axis])));
  });
};

const slice: Kernel = ({ input, ints }) => {
  const x = input(0);
  const [starts, ends] = [input(1).data, input(2).data];
  const axes = ints(3) ?? starts.map((_, i) => i);
  /** The places taken of every axis. */
  const places = x.dims.map((dim) => Array.from({ length: dim }, (_, place) => place));
  for (const [i, given] of axes.entries()) {
    const axis = positiveAxis(given, x.dims.length);
    const step = ints(4)?.[i] ?? 1;
    const dim = x.dims[axis];
    const clamp = (bound: number, low: number, high: number) =>
      Math.min(Math.max(bound < 0 ? bound + dim : bound, low), high);
    const taken: number[] = [];
    if (step > 0) for (let p = clamp(starts[i], 0, dim); p < clamp(ends[i], 0, dim); p += step) taken.push(p);
    else for (let p = clamp(starts[i], 0, dim - 1); p > clamp(ends[i], -1, dim - 1); p += step) taken.push(p);
    places[axis] = taken;
  }
  return tabulate(
    x.dtype,
    places.map((taken) => taken.length),
    (index) =>
      elementAt(
        x,
        index.map((i, axis) => places[axis][i]),
      ),
  );
};

const tile: Kernel = ({ input }) => {
  const [x, repeats] = [input(0), input(1).data];
  return tabulate(
    x.dtype,
    x.dims.map((dim, axis) => dim * repeats[axis]),
    (index) =>
      elementAt(
        x,
        index.map((place, axis) => place % x.dims[axis]),
      ),
  );
};

const trilu: Kernel = ({ input, inputs, attributes }) => {
  const x = input(0);
  const [upper, k] = [attributes.int('upper', 1) === 1, inputs[1]?.data[0] ?? 0];
  return tabulate(x.dtype, x.dims, (index) => {
    const [row, column] = index.slice(-2);
    return (upper ? column - row >= k : column - row <= k) ? elementAt(x, index) : 0;
  });
};

const depthToSpace: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const size = attributes.int('blocksize', 1);
  const [batch, depth, height, width] = x.dims;
  const channels = depth / size ** 2;
  const byColumn = attributes.string('mode', 'DCR') === 'CRD';
  return tabulate(x.dtype, [batch, channels, height * size, width * size], ([n, c, row, column]) => {
    const place = (row % size) * size + (column % size);
    const from = byColumn ? c * size ** 2 + place : place * channels + c;
    return elementAt(x, [n, from, Math.floor(row / size), Math.floor(column / size)]);
  });
};

const spaceToDepth: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const size = attributes.int('blocksize', 1);
  const [batch, channels, height, width] = x.dims;
  return tabulate(x.dtype, [batch, channels * size ** 2, height / size, width / size], ([n, depth, row, column]) => {
    const place = Math.floor(depth / channels);
    return elementAt(x, [n, depth % channels, row * size + Math.floor(place / size), column * size + (place % size)]);
  });
};

const reverseSequence: Kernel = ({ input, attributes }) => {
  const [x, lengths] = [input(0), input(1).data];
  const [batchAxis, timeAxis] = [attributes.int('batch_axis', 1), attributes.int('time_axis', 0)];
  return tabulate(x.dtype, x.dims, (index) => {
    const [length, time] = [lengths[index[batchAxis]], index[timeAxis]];
    return elementAt(x, time < length ? index.with(timeAxis, length - 1 - time) : index);
  });
};

/** Operators that move elements without looking at their values. */
export const layout: Kernels = {
  Concat: concat,
  DepthToSpace: depthToSpace,
  Expand: expand,
  Flatten: flatten,
  Reshape: reshape,
  ReverseSequence: reverseSequence,
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Trilu: trilu,
  Unsqueeze: unsqueeze,
};
