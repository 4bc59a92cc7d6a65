import { unary } from './elementwise/unary.js';

/** y = eˣ, y′ = y. */
export const Exp = unary('Exp', 13, ({ e, y, dy }) => e.mul(dy, y));
