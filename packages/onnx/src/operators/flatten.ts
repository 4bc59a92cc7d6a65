import { productOfDims } from '../shape/dim.js';
import type { Operator } from './operator.js';

/** A matrix: the axes before `axis` become the rows, the others the columns. */
export const Flatten: Operator = {
  op: 'Flatten',
  since: 13,
  infer(ctx) {
    const shape = ctx.shape(0);
    const given = ctx.node.attributes.int('axis', 1);
    // Unlike elsewhere, the axis may be equal to the rank.
    const axis = given === shape.length ? given : ctx.axis(given, shape.length);
    return [{ dtype: ctx.dtype(0), shape: [productOfDims(shape.slice(0, axis)), productOfDims(shape.slice(axis))] }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
};
