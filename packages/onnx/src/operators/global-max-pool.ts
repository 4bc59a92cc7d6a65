import type { Operator } from './operator.js';
import { globalPoolShape } from './window/global.js';

/**
 * The maximum over all spatial axes, which stay as axes of length 1. The cotangent goes to the element that is the
 * maximum, the first one where several are, as in MaxPool and in PyTorch.
 */
export const GlobalMaxPool: Operator = {
  op: 'GlobalMaxPool',
  since: 1,
  infer: (ctx) => [{ dtype: ctx.commonDtype(1), shape: globalPoolShape(ctx) }],
  gradient(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const flat = e.reshape(x, [0, 0, -1]);
    const first = e.node('ArgMax', [flat], { axis: 2, keepdims: 1 });
    const dy = e.reshape(ctx.grad(), [0, 0, -1]);
    return [e.reshapeLike(e.node('ScatterElements', [e.zerosLike(flat), first, dy], { axis: 2 }), x)];
  },
};
