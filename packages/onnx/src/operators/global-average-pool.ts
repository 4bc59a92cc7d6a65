import { isStatic, productOfDims } from '../shape/dim.js';
import type { Operator } from './operator.js';
import { globalPoolShape } from './window/global.js';

/** The mean over all spatial axes, which stay as axes of length 1; y′ = 1 / n with n the number of positions. */
export const GlobalAveragePool: Operator = {
  op: 'GlobalAveragePool',
  since: 1,
  infer: (ctx) => [{ dtype: ctx.commonDtype(1), shape: globalPoolShape(ctx) }],
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const n = productOfDims(ctx.shape(x).slice(2));
    if (isStatic(n)) return [e.expandLike(e.scale(dy, 1 / n), x)];
    const count = e.div(e.node('Size', [x]), e.node('Size', [dy]));
    return [e.expandLike(e.div(dy, e.cast(count, dy.dtype ?? 'float32')), x)];
  },
};
