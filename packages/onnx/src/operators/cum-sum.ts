import type { Operator } from './operator.js';

/** Sums from the start (or the end, with `reverse`) up to each element, or up to the one before with `exclusive`. */
export const CumSum: Operator = {
  op: 'CumSum',
  since: 14,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }],
  /** x counts for all that comes after it: the same sum from the other end. */
  gradient(ctx) {
    const { attributes } = ctx.node;
    const reverse = 1 - attributes.int('reverse', 0);
    return [ctx.e.node('CumSum', [ctx.grad(), ctx.input(1)], { exclusive: attributes.int('exclusive'), reverse })];
  },
};
