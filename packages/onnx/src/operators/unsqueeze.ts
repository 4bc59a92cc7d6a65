import type { Dim } from '../shape/dim.js';
import { axesFromInput } from './axes.js';
import type { Operator } from './operator.js';
import { intsToInput } from './upgrade.js';

/** Inserts axes of length 1. */
export const Unsqueeze: Operator = {
  op: 'Unsqueeze',
  since: 13,
  shape: 'values',
  infer(ctx) {
    const rank = ctx.rank(0) + (ctx.staticContents(1)?.length ?? 0);
    const axes = new Set(axesFromInput(ctx, 1, rank));
    const rest = [...ctx.shape(0)];
    const shape = Array.from({ length: rank }, (_, i): Dim => (axes.has(i) ? 1 : (rest.shift() ?? 1)));
    return [{ dtype: ctx.dtype(0), shape, contents: rank <= 1 ? ctx.contents(0) : undefined }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
  upgrade(ctx) {
    if (ctx.opset < 13) intsToInput(ctx, 'axes', 1);
    return undefined;
  },
};
