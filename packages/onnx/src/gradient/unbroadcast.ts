import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { equalDims, isNotOne } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';

/**
 * Sums a cotangent over the axes along which `target` was broadcast, so that it gets `target`'s shape: the transpose of
 * broadcasting. Axes are decided now where the dimensions tell, and at run time where a free dimension of `target`
 * may or may not turn out to be 1.
 */
export function unbroadcast(e: Emitter, cotangent: Value, target: Value, targetShape: Shape, shape: Shape): Value {
  const leading = shape.length - targetShape.length;
  const outer = Array.from({ length: leading }, (_, i) => i);
  const stretched: number[] = [];
  let undecided = false;
  for (const [i, dim] of targetShape.entries()) {
    if (equalDims(dim, shape[leading + i]) || isNotOne(dim)) continue;
    if (dim === 1) stretched.push(i);
    else undecided = true;
  }
  if (undecided) {
    const sum = reduceWhereOne(e, e.reduceSum(cotangent, outer), target);
    return e.assume(sum, targetShape);
  }
  const axes = [...outer, ...stretched.map((axis) => leading + axis)];
  if (axes.length === 0) return cotangent;
  const keepdims = outer.length === 0;
  const sum = sumOver(e, cotangent, axes, { keepdims, rank: shape.length });
  return keepdims ? sum : e.unsqueeze(sum, stretched);
}

/**
 * Sums over axes. Of what is added to features everywhere, a bias say, places are summed first and samples then: runtimes
 * sum the rows of a matrix one after the other, whose rounding grows with their number.
 */
function sumOver(
  e: Emitter,
  cotangent: Value,
  axes: readonly number[],
  { keepdims, rank }: { readonly keepdims: boolean; readonly rank: number },
): Value {
  const rows = axes.length > 1 && axes.length < rank && axes.every((axis, i) => axis === i);
  if (!rows) return e.reduceSum(cotangent, axes, { keepdims });
  return e.reduceSum(e.reduceSum(cotangent, axes.slice(1), { keepdims }), [0], { keepdims });
}

/** Sums over those axes that are 1 in `target` at run time (summing over an axis of length 1 changes nothing). */
function reduceWhereOne(e: Emitter, cotangent: Value, target: Value): Value {
  const isOne = e.equal(e.shapeOf(target), e.int64([1]));
  const axes = e.reshape(e.node('NonZero', [isOne]), [-1]);
  return e.node('ReduceSum', [cotangent, axes], { keepdims: 1, noop_with_empty_axes: 1 });
}
