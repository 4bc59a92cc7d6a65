import { unary } from './elementwise/unary.js';

/** y = sinh x, y′ = cosh x. */
export const Sinh = unary('Sinh', 9, ({ e, x, dy }) => e.mul(dy, e.node('Cosh', [x])));
