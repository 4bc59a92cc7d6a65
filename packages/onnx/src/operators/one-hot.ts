import type { Dim } from '../shape/dim.js';
import type { InferContext, Operator } from './operator.js';

/** For each index a vector with the value "on" at that place and "off" elsewhere; the vectors lie along a new axis. */
export const OneHot: Operator = {
  op: 'OneHot',
  since: 11,
  shape: 'values',
  infer(ctx) {
    const indices = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), indices.length + 1);
    return [{ dtype: ctx.dtype(2), shape: indices.toSpliced(axis, 0, depth(ctx)) }];
  },
  gradient: 'none',
};

/** The length of the new axis: a single number, which may come as a float. */
function depth(ctx: InferContext): Dim {
  return ctx.contents(1)?.[0] ?? ctx.constant(1)?.toNumbers()[0] ?? ctx.unknownDim();
}
