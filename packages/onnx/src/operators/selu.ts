import { unary } from './elementwise/unary.js';

/** y = γx where x > 0, γα (eˣ − 1) elsewhere; y′ = γ or γα eˣ. */
export const Selu = unary('Selu', 6, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 1.67326319217681884765625);
  const scaled = e.scale(dy, ctx.node.attributes.float('gamma', 1.05070102214813232421875));
  return e.where(e.greater(x, e.scalar(0, x)), scaled, e.mul(e.scale(scaled, alpha), e.exp(x)));
});
