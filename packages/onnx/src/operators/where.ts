import { broadcastContents } from './elementwise/contents.js';
import type { Operator } from './operator.js';

/** y = a where the condition holds, b elsewhere; the cotangent goes to the side that was chosen. */
export const Where: Operator = {
  op: 'Where',
  since: 16,
  infer(ctx) {
    const shape = ctx.broadcast(ctx.shape(0), ctx.shape(1), ctx.shape(2));
    const inputs = [ctx.contents(0), ctx.contents(1), ctx.contents(2)];
    const contents = broadcastContents(inputs, shape, (condition, a, b) => (condition === 0 ? b : a));
    return [{ dtype: ctx.dtype(1), shape, contents }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [condition, dy] = [ctx.input(0), ctx.grad()];
    const zero = e.scalar(0, dy);
    return [
      undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.where(condition, dy, zero), 1) : undefined,
      ctx.needs(2) ? ctx.unbroadcast(e.where(condition, zero, dy), 2) : undefined,
    ];
  },
};
