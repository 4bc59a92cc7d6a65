import type { Numbers } from '../testing/session.js';

/**
 * Tensors of the reference evaluator. Everything is a plain array of numbers in row-major order: floats of every dtype
 * are computed in double precision and never rounded, integers are exact to 2^53, bools are 0 and 1.
 */
export type Tensor = Numbers;

export type Index = readonly number[];

/** Number of elements of a shape. */
export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Every index of a shape, in row-major order. */
export function indicesOf(dims: readonly number[]): Index[] {
  return dims.reduce<Index[]>(
    (heads, dim) => heads.flatMap((head) => Array.from({ length: dim }, (_, i) => [...head, i])),
    [[]],
  );
}

/** Where an index lies in row-major order. */
export function offsetOf(dims: readonly number[], index: Index): number {
  return dims.reduce((offset, dim, axis) => offset * dim + index[axis], 0);
}

export function elementAt({ dims, data }: Tensor, index: Index): number {
  return data[offsetOf(dims, index)];
}

/** The element that meets `index` when the tensor is broadcast. */
export function broadcastAt({ dims, data }: Tensor, index: Index): number {
  const skipped = index.length - dims.length;
  return data[
    offsetOf(
      dims,
      dims.map((dim, axis) => (dim === 1 ? 0 : index[skipped + axis])),
    )
  ];
}

export function broadcastDims(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, i) => {
    const lengths = shapes.map((dims) => dims.at(i - rank) ?? 1).filter((length) => length !== 1);
    if (new Set(lengths).size > 1) throw new Error(`[${shapes.join('] and [')}] cannot be broadcast`);
    return lengths[0] ?? 1;
  });
}

/** The tensor whose element at every index is `element(index)`. */
export function tabulate(dtype: Tensor['dtype'], dims: readonly number[], element: (index: Index) => number): Tensor {
  return { dtype, dims, data: indicesOf(dims).map(element) };
}

export function sum(terms: readonly number[]): number {
  return terms.reduce((a, b) => a + b, 0);
}

/** An axis counted from the front. */
export function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
