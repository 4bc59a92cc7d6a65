import { isStatic } from '../shape/dim.js';
import type { Operator } from './operator.js';

/** Slices picked by their first coordinates, which are the rows of the last axis of `indices`. */
export const GatherND: Operator = {
  op: 'GatherND',
  since: 13,
  infer(ctx) {
    const indices = ctx.shape(1);
    const coordinates = indices[indices.length - 1];
    if (!isStatic(coordinates))
      return ctx.fail('the rank of its result cannot be known: it depends on a free dimension');
    const batch = ctx.node.attributes.int('batch_dims', 0);
    return [{ dtype: ctx.dtype(0), shape: [...indices.slice(0, -1), ...ctx.shape(0).slice(batch + coordinates)] }];
  },
  /**
   * Picking from the numbers 0, 1, … in the shape of x tells where every element came from; there dy is added. Not by
   * ScatterND, which on ONNX Runtime adds from several threads at once and loses additions when a place repeats.
   */
  gradient(ctx) {
    const { e } = ctx;
    const [x, indices] = [ctx.input(0), ctx.input(1)];
    const size = e.node('Size', [x]);
    const numbers = e.node('Range', [e.scalar(0, 'int64'), size, e.scalar(1, 'int64')]);
    const places = e.node('GatherND', [e.node('Reshape', [numbers, e.shapeOf(x)], { allowzero: 1 }), indices], {
      batch_dims: ctx.node.attributes.int('batch_dims'),
    });
    const flat = (value: typeof x) => e.reshape(value, [-1]);
    const inputs = [flat(e.zerosLike(x)), flat(places), flat(ctx.grad())];
    return [e.reshapeLike(e.node('ScatterElements', inputs, { axis: 0, reduction: 'add' }), x), undefined];
  },
};
