import type { Value } from '../graph/value.js';
import type { Operator } from './operator.js';
import { floatToInput } from './upgrade.js';

/**
 * y = min(max(x, low), high), a bound left out being infinite. The cotangent goes to x where it lies within the bounds
 * (ends included), else to the bound that was taken; to `high` where the bounds are crossed.
 */
export const Clip: Operator = {
  op: 'Clip',
  since: 13,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }],
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const zero = e.scalar(0, dy);
    const [low, high] = [1, 2].map((i) => (ctx.has(i) ? ctx.input(i) : undefined));
    const below = low && e.less(x, low);
    const above = high && e.greater(x, high);
    const both = below && above ? e.node('Or', [below, above]) : (below ?? above);
    const crossed = low && high && e.greater(low, high);
    const to = (index: number, where: Value | undefined) =>
      where && ctx.needs(index) ? ctx.unbroadcast(e.where(where, dy, zero), index) : undefined;
    return [
      both === undefined ? dy : e.where(both, zero, dy),
      to(1, below && crossed ? e.and(below, e.not(crossed)) : below),
      to(2, above && crossed ? e.node('Or', [above, crossed]) : above),
    ];
  },
  upgrade(ctx) {
    if (ctx.opset >= 11) return undefined;
    floatToInput(ctx, 'min', 1);
    floatToInput(ctx, 'max', 2);
    return undefined;
  },
};
