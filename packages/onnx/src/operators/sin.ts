import { unary } from './elementwise/unary.js';

/** y = sin x, y′ = cos x. */
export const Sin = unary('Sin', 7, ({ e, x, dy }) => e.mul(dy, e.node('Cos', [x])));
