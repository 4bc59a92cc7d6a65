import { composite } from './composite.js';

/** Its first input in the dtype of its second. */
export const CastLike = composite({
  op: 'CastLike',
  since: 15,
  native: 'none',
  infer: (ctx) => [{ dtype: ctx.dtype(1), shape: ctx.shape(0), contents: ctx.contents(0) }],
  define: (ctx) => [ctx.e.cast(ctx.input(0), ctx.input(1).dtype ?? ctx.fail('the dtype of its input 1 is unknown'))],
});
