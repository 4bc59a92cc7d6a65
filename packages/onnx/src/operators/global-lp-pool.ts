import { composite } from './composite.js';
import { power, root } from './lp-pool.js';
import { axesFrom } from './normalization.js';
import { globalPoolShape } from './window/global.js';

/** y = (Σ |x|ᵖ)^(1/p) over all spatial axes, which stay as axes of length 1. */
export const GlobalLpPool = composite({
  op: 'GlobalLpPool',
  since: 2,
  native: 'float32',
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: globalPoolShape(ctx) }],
  define(ctx) {
    const axes = axesFrom(2, ctx.shape(ctx.input(0)).length);
    return [root(ctx, ctx.e.reduceSum(power(ctx), axes, { keepdims: true }))];
  },
});
