import type { Call, Kernel, Kernels } from './kernel.js';
import { norm } from './reductions.js';
import { elementAt, indicesOf, offsetOf, sum, tabulate, type Tensor } from './tensor.js';
import { isInside, positionsOf, slidingAxes, type Sliding } from './windows.js';

interface Pool {
  readonly x: Tensor;
  readonly axes: readonly Sliding[];
  readonly dims: readonly number[];
  /** Every position that a window covers, padding and beyond included. */
  positions(place: readonly number[]): readonly (readonly number[])[];
}

function poolOf(call: Call): Pool {
  const x = call.input(0);
  const [batch, channels, ...lengths] = x.dims;
  const kernel = call.attributes.ints('kernel_shape') ?? [];
  const axes = slidingAxes(call, lengths, kernel);
  const offsets = indicesOf(kernel);
  return {
    x,
    axes,
    dims: [batch, channels, ...axes.map(({ count }) => count)],
    positions: (place) => offsets.map((offset) => positionsOf(axes, place, offset)),
  };
}

const maxPool: Kernel = (call) => {
  const { x, axes, dims, positions } = poolOf(call);
  /** The flat place of the first of the largest elements in a window. */
  const winner = ([n, c, ...place]: readonly number[]) =>
    positions(place)
      .filter((position) => isInside(axes, position))
      .map((position) => offsetOf(x.dims, [n, c, ...position]))
      .reduce((best, candidate) => (x.data[candidate] > x.data[best] ? candidate : best));
  const columnMajor = call.attributes.int('storage_order', 0) === 1;
  const indexOf = (place: number) => (columnMajor ? inColumns(place, x.dims.slice(2)) : place);
  return [
    tabulate(x.dtype, dims, (index) => x.data[winner(index)]),
    tabulate('int64', dims, (index) => indexOf(winner(index))),
  ];
};

/** The flat place of an element where the first of the spatial axes runs fastest, batch and channel as ever. */
function inColumns(place: number, lengths: readonly number[]): number {
  const size = lengths.reduce((product, length) => product * length, 1);
  let rest = place % size;
  const coordinates = lengths.toReversed().map((length) => {
    const coordinate = rest % length;
    rest = Math.floor(rest / length);
    return coordinate;
  });
  const inside = coordinates.reduce((sum, coordinate, i) => sum * (lengths.at(-1 - i) ?? 1) + coordinate, 0);
  return place - (place % size) + inside;
}

const averagePool: Kernel = (call) => {
  const { x, axes, dims, positions } = poolOf(call);
  const includesPadding = call.attributes.int('count_include_pad', 0) === 1;
  const isPadded = (position: readonly number[]) =>
    position.every((p, i) => p >= -axes[i].before && p < axes[i].length + axes[i].after);
  return tabulate(x.dtype, dims, ([n, c, ...place]) => {
    const inside = positions(place).filter((position) => isInside(axes, position));
    const counted = includesPadding ? positions(place).filter(isPadded) : inside;
    return sum(inside.map((position) => elementAt(x, [n, c, ...position]))) / counted.length;
  });
};

const lpPool: Kernel = (call) => {
  const { x, axes, dims, positions } = poolOf(call);
  const p = call.attributes.int('p', 2);
  return tabulate(x.dtype, dims, ([n, c, ...place]) => {
    const inside = positions(place).filter((position) => isInside(axes, position));
    return norm(
      inside.map((position) => elementAt(x, [n, c, ...position])),
      p,
    );
  });
};

export const pooling: Kernels = { AveragePool: averagePool, LpPool: lpPool, MaxPool: maxPool };
