import { composite, likeInput } from './composite.js';

/** y = x / ‖x‖ along one axis, in the 1-norm or the 2-norm; 0 where the norm is 0. */
export const LpNormalization = composite({
  op: 'LpNormalization',
  since: 1,
  native: 'all',
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    return likeInput(ctx);
  },
  define(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const p = node.attributes.int('p', 2);
    if (p !== 1 && p !== 2) ctx.fail(`p is ${p}; the 1-norm and the 2-norm are defined`);
    const norm = e.node(p === 1 ? 'ReduceL1' : 'ReduceL2', [x, e.int64([node.attributes.int('axis', -1)])]);
    return [e.div(x, e.where(e.equal(norm, e.scalar(0, x)), e.scalar(1, x), norm))];
  },
});
