import { unary } from './elementwise/unary.js';

/** y = erf x, y′ = 2/√π · e^(−x²). */
export const Erf = unary('Erf', 13, ({ e, x, dy }) =>
  e.mul(e.scale(dy, 2 / Math.sqrt(Math.PI)), e.exp(e.neg(e.square(x)))),
);
