import { unary } from './elementwise/unary.js';

/** y = cos x, y′ = −sin x. */
export const Cos = unary('Cos', 7, ({ e, x, dy }) => e.mul(e.neg(dy), e.node('Sin', [x])));
