import { unary } from './elementwise/unary.js';

/** y = x + bias where x < −λ, x − bias where x > λ, 0 between; y′ = 1 outside, 0 between. */
export const Shrink = unary('Shrink', 9, ({ e, x, dy, ctx }) =>
  e.where(e.greater(e.node('Abs', [x]), e.scalar(ctx.node.attributes.float('lambd', 0.5), x)), dy, e.scalar(0, dy)),
);
