import { unary } from './elementwise/unary.js';

/** y = x where x > α, 0 elsewhere; y′ = 1 or 0. */
export const ThresholdedRelu = unary('ThresholdedRelu', 10, ({ e, x, dy, ctx }) =>
  e.where(e.greater(x, e.scalar(ctx.node.attributes.float('alpha', 1), x)), dy, e.scalar(0, dy)),
);
