import { unary } from './elementwise/unary.js';

/** y = x where x > 0, α (eˣ − 1) elsewhere; y′ = 1 or α eˣ. */
export const Elu = unary('Elu', 6, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 1);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.mul(e.scale(dy, alpha), e.exp(x)));
});
