import type { Call, Kernel, Kernels } from './kernel.js';
import { elementAt, indicesOf, offsetOf, positiveAxis, sizeOf, tabulate, type Tensor } from './tensor.js';

const gather: Kernel = ({ input, attributes }) => {
  const [x, indices] = [input(0), input(1)];
  const axis = positiveAxis(attributes.int('axis', 0), x.dims.length);
  const dims = [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)];
  const inner = axis + indices.dims.length;
  return tabulate(x.dtype, dims, (index) => {
    const place = elementAt(indices, index.slice(axis, inner));
    return elementAt(x, [...index.slice(0, axis), positiveAxis(place, x.dims[axis]), ...index.slice(inner)]);
  });
};

const gatherElements: Kernel = ({ input, attributes }) => {
  const [x, indices] = [input(0), input(1)];
  const axis = positiveAxis(attributes.int('axis', 0), x.dims.length);
  return tabulate(x.dtype, indices.dims, (index) =>
    elementAt(x, index.with(axis, positiveAxis(elementAt(indices, index), x.dims[axis]))),
  );
};

/** The coordinates that the last axis of `indices` holds at `outer`, for axes of the lengths `dims`. */
function coordinatesAt(indices: Tensor, outer: readonly number[], dims: readonly number[]): number[] {
  const count = indices.dims[indices.dims.length - 1];
  return Array.from({ length: count }, (_, i) => positiveAxis(elementAt(indices, [...outer, i]), dims[i]));
}

const gatherND: Kernel = ({ input, attributes }) => {
  const [x, indices] = [input(0), input(1)];
  const batch = attributes.int('batch_dims', 0);
  const outerRank = indices.dims.length - 1;
  const count = indices.dims[outerRank];
  return tabulate(x.dtype, [...indices.dims.slice(0, -1), ...x.dims.slice(batch + count)], (index) => {
    const coordinates = coordinatesAt(indices, index.slice(0, outerRank), x.dims.slice(batch));
    return elementAt(x, [...index.slice(0, batch), ...coordinates, ...index.slice(outerRank)]);
  });
};

/** How an update meets the element that is there. */
const MEETINGS: Readonly<Record<string, (present: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (present, update) => present + update,
  mul: (present, update) => present * update,
  max: Math.max,
  min: Math.min,
};

function scattered({ input, attributes }: Call, target: (index: readonly number[]) => readonly number[]): Tensor {
  const [x, updates] = [input(0), input(2)];
  const meet = MEETINGS[attributes.string('reduction', 'none')];
  const data = [...x.data];
  indicesOf(updates.dims).forEach((index, i) => {
    const offset = offsetOf(x.dims, target(index));
    data[offset] = meet(data[offset], updates.data[i]);
  });
  return { ...x, data };
}

const scatterElements: Kernel = (call) => {
  const [x, indices] = [call.input(0), call.input(1)];
  const axis = positiveAxis(call.attributes.int('axis', 0), x.dims.length);
  return scattered(call, (index) => index.with(axis, positiveAxis(elementAt(indices, index), x.dims[axis])));
};

const scatterND: Kernel = (call) => {
  const [x, indices] = [call.input(0), call.input(1)];
  const outerRank = indices.dims.length - 1;
  return scattered(call, (index) => [
    ...coordinatesAt(indices, index.slice(0, outerRank), x.dims),
    ...index.slice(outerRank),
  ]);
};

const oneHot: Kernel = ({ input, attributes }) => {
  const [indices, [depth], { dtype, data }] = [input(0), input(1).data, input(2)];
  const axis = positiveAxis(attributes.int('axis', -1), indices.dims.length + 1);
  const [off, on] = data;
  return tabulate(dtype, indices.dims.toSpliced(axis, 0, depth), (index) =>
    positiveAxis(elementAt(indices, index.toSpliced(axis, 1)), depth) === index[axis] ? on : off,
  );
};

/** The k largest (or smallest) elements along an axis, in order, with their places. */
const topK: Kernel = ({ input, attributes }) => {
  const [x, [k]] = [input(0), input(1).data];
  const axis = positiveAxis(attributes.int('axis', -1), x.dims.length);
  const sign = attributes.int('largest', 1) === 1 ? -1 : 1;
  const dims = x.dims.with(axis, k);
  const placeAt = (index: readonly number[]) => {
    const along = Array.from({ length: x.dims[axis] }, (_, i) => elementAt(x, index.with(axis, i)));
    const order = [...along.keys()].sort((a, b) => sign * (along[a] - along[b]) || a - b);
    return order[index[axis]];
  };
  return [
    tabulate(x.dtype, dims, (index) => elementAt(x, index.with(axis, placeAt(index)))),
    tabulate('int64', dims, placeAt),
  ];
};

const maxUnpool: Kernel = ({ input, ints }) => {
  const [x, indices, dims] = [input(0), input(1), ints(2)];
  if (dims === undefined) throw new Error('give MaxUnpool its output shape');
  const data = new Array<number>(sizeOf(dims)).fill(0);
  indices.data.forEach((place, i) => (data[place] = x.data[i]));
  return { dtype: x.dtype, dims, data };
};

/** Operators that pick elements, or put them, by indices. */
export const selection: Kernels = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  MaxUnpool: maxUnpool,
  OneHot: oneHot,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  TopK: topK,
};
