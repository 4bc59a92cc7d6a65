import { unary } from './elementwise/unary.js';

/** y = 1 / x, y′ = −y². */
export const Reciprocal = unary('Reciprocal', 13, ({ e, y, dy }) => e.neg(e.mul(dy, e.square(y))));
