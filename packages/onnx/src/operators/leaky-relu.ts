import { unary } from './elementwise/unary.js';

/** y = x where x > 0, αx elsewhere; y′ = 1 or α (α at the kink, as PyTorch has it). */
export const LeakyRelu = unary('LeakyRelu', 16, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 0.01);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.scale(dy, alpha));
});
