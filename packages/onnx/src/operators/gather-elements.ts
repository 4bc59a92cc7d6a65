import type { Operator } from './operator.js';

/** For every index, the element at that place along one axis; its cotangent is added there. */
export const GatherElements: Operator = {
  op: 'GatherElements',
  since: 13,
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', 0), ctx.rank(0));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(1) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const axis = ctx.node.attributes.int('axis', 0);
    const zeros = e.zerosLike(ctx.input(0));
    return [e.node('ScatterElements', [zeros, ctx.input(1), ctx.grad()], { axis, reduction: 'add' }), undefined];
  },
};
