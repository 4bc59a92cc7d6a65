import type { Operator } from './operator.js';

/** The different elements (or slices along an axis), where they are first, what each element is one of, and how often. */
export const Unique: Operator = {
  op: 'Unique',
  since: 11,
  shape: 'data',
  infer(ctx) {
    const axis = ctx.node.attributes.int('axis');
    const count = ctx.unknownDim(0);
    const shape = axis === undefined ? [count] : ctx.shape(0).with(ctx.axis(axis, ctx.rank(0)), count);
    const numbers = { dtype: 'int64' as const, shape: [count] };
    return [{ dtype: ctx.dtype(0), shape }, numbers, { dtype: 'int64', shape: [ctx.unknownDim(0)] }, numbers];
  },
  gradient: 'none',
};
