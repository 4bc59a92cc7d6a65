import type { Operator } from './operator.js';
import { shapeFromInput } from './shape-input.js';

/** Broadcasts to a given shape; a dimension of 1 in that shape keeps the input's. */
export const Expand: Operator = {
  op: 'Expand',
  since: 13,
  shape: 'values',
  infer(ctx) {
    const shape = ctx.broadcast(ctx.shape(0), shapeFromInput(ctx, 1));
    const contents = ctx.contents(0);
    const unchanged = shape.length <= 1 && contents?.length === (shape.length === 0 ? 1 : shape[0]);
    return [{ dtype: ctx.dtype(0), shape, contents: unchanged ? contents : undefined }];
  },
  gradient: (ctx) => [ctx.unbroadcast(ctx.grad(), 0)],
};
