import { unary } from './elementwise/unary.js';

/** y = cosh x, y′ = sinh x. */
export const Cosh = unary('Cosh', 9, ({ e, x, dy }) => e.mul(dy, e.node('Sinh', [x])));
