import { unary } from './elementwise/unary.js';

/** y = min(max(αx + β, 0), 1), y′ = α strictly between and 0 elsewhere. */
export const HardSigmoid = unary('HardSigmoid', 6, ({ e, y, dy, ctx }) => {
  const inside = e.and(e.greater(y, e.scalar(0, y)), e.less(y, e.scalar(1, y)));
  return e.where(inside, e.scale(dy, ctx.node.attributes.float('alpha', 0.2)), e.scalar(0, dy));
});
