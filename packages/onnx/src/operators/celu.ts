import { unary } from './elementwise/unary.js';

/** y = x where x > 0, α (e^(x/α) − 1) elsewhere; y′ = 1 or e^(x/α). */
export const Celu = unary('Celu', 12, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 1);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.mul(dy, e.exp(e.scale(x, 1 / alpha))));
});
