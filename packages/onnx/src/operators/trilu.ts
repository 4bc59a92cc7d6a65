import type { Operator } from './operator.js';

/** Keeps the upper (or lower) triangle of each matrix, shifted by `k` diagonals; elsewhere 0. */
export const Trilu: Operator = {
  op: 'Trilu',
  since: 14,
  infer(ctx) {
    if (ctx.rank(0) < 2) ctx.fail('it works on matrices, of rank 2 and above');
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
  },
  gradient(ctx) {
    const inputs = ctx.has(1) ? [ctx.grad(), ctx.input(1)] : [ctx.grad()];
    return [ctx.e.node('Trilu', inputs, { upper: ctx.node.attributes.int('upper') })];
  },
};
