import type { Operator } from './operator.js';

/** y = x where x > 0, slope · x elsewhere, the slope broadcast to x; ∂y/∂slope = x where x is not above 0. */
export const PRelu: Operator = {
  op: 'PRelu',
  since: 16,
  infer(ctx) {
    ctx.broadcast(ctx.shape(0), ctx.shape(1));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, slope, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const zero = e.scalar(0, x);
    const isPositive = e.greater(x, zero);
    return [
      ctx.needs(0) ? e.where(isPositive, dy, e.mul(dy, slope)) : undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.where(isPositive, zero, e.mul(dy, x)), 1) : undefined,
    ];
  },
};
