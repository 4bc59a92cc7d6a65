import type { Call, Kernel, Kernels } from './kernel.js';
import { elementAt, indicesOf, positiveAxis, sizeOf, sum, tabulate } from './tensor.js';

/** Combines the elements along some axes: those of input 1, or all. */
function reduction(combine: (elements: readonly number[]) => number): Kernel {
  return (call) => {
    const x = call.input(0);
    const axes = reducedAxes(call);
    const kept = x.dims.map((dim, axis) => (axes.has(axis) ? 1 : dim));
    const inside = indicesOf(x.dims.map((dim, axis) => (axes.has(axis) ? dim : 1)));
    const y = tabulate(x.dtype, kept, (index) =>
      combine(
        inside.map((within) =>
          elementAt(
            x,
            within.map((place, axis) => place + index[axis]),
          ),
        ),
      ),
    );
    return call.attributes.int('keepdims', 1) === 1 ? y : { ...y, dims: kept.filter((_, axis) => !axes.has(axis)) };
  };
}

function reducedAxes({ input, ints, attributes }: Call): ReadonlySet<number> {
  const rank = input(0).dims.length;
  const axes = ints(1) ?? [];
  if (axes.length > 0) return new Set(axes.map((axis) => positiveAxis(axis, rank)));
  return new Set(attributes.int('noop_with_empty_axes', 0) === 1 ? [] : input(0).dims.keys());
}

/** The place of the first (or last) element along an axis that no other beats. */
function argReduction(beats: (candidate: number, best: number) => boolean): Kernel {
  return ({ input, attributes }) => {
    const x = input(0);
    const axis = positiveAxis(attributes.int('axis', 0), x.dims.length);
    const preferLast = attributes.int('select_last_index', 0) === 1;
    const y = tabulate('int64', x.dims.with(axis, 1), (index) => {
      const elements = Array.from({ length: x.dims[axis] }, (_, i) => elementAt(x, index.with(axis, i)));
      return elements.reduce(
        (best, element, i) => (beats(element, elements[best]) || (preferLast && element === elements[best]) ? i : best),
        0,
      );
    });
    return attributes.int('keepdims', 1) === 1 ? y : { ...y, dims: x.dims.toSpliced(axis, 1) };
  };
}

const cumSum: Kernel = ({ input, attributes }) => {
  const x = input(0);
  const axis = positiveAxis(input(1).data[0], x.dims.length);
  const reverse = attributes.int('reverse', 0) === 1;
  const exclusive = attributes.int('exclusive', 0) === 1;
  return tabulate(x.dtype, x.dims, (index) => {
    const place = index[axis];
    const terms = Array.from({ length: x.dims[axis] }, (_, i) => {
      const before = reverse ? i > place : i < place;
      return before || (i === place && !exclusive) ? elementAt(x, index.with(axis, i)) : 0;
    });
    return sum(terms);
  });
};

/** (Σ |x|ᵖ)^(1/p). */
export function norm(elements: readonly number[], p: number): number {
  return sum(elements.map((x) => Math.abs(x) ** p)) ** (1 / p);
}

/** Pools over all spatial axes. */
function globalPool(combine: (elements: readonly number[]) => number): Kernel {
  return ({ input }) => {
    const x = input(0);
    const [batch, channels, ...spatial] = x.dims;
    const size = sizeOf(spatial);
    return tabulate(x.dtype, [batch, channels, ...spatial.map(() => 1)], ([n, c]) => {
      const first = (n * channels + c) * size;
      return combine(x.data.slice(first, first + size));
    });
  };
}

const mean = (elements: readonly number[]) => sum(elements) / elements.length;
const product = (elements: readonly number[]) => elements.reduce((a, b) => a * b, 1);
const max = (elements: readonly number[]) => Math.max(...elements);
const min = (elements: readonly number[]) => Math.min(...elements);

export const reductions: Kernels = {
  ArgMax: argReduction((a, b) => a > b),
  ArgMin: argReduction((a, b) => a < b),
  CumSum: cumSum,
  GlobalAveragePool: globalPool(mean),
  GlobalLpPool: (call) => globalPool((elements) => norm(elements, call.attributes.int('p', 2)))(call),
  GlobalMaxPool: globalPool(max),
  ReduceL1: reduction((elements) => norm(elements, 1)),
  ReduceL2: reduction((elements) => norm(elements, 2)),
  ReduceLogSum: reduction((elements) => Math.log(sum(elements))),
  ReduceLogSumExp: reduction((elements) => Math.log(sum(elements.map(Math.exp)))),
  ReduceMax: reduction(max),
  ReduceMean: reduction(mean),
  ReduceMin: reduction(min),
  ReduceProd: reduction(product),
  ReduceSum: reduction(sum),
  ReduceSumSquare: reduction((elements) => sum(elements.map((x) => x * x))),
};
