import { unary } from './elementwise/unary.js';

/** y = arccos x, y′ = −1 / √(1 − x²). */
export const Acos = unary('Acos', 7, ({ e, x, dy }) => e.neg(e.div(dy, e.sqrt(e.sub(e.scalar(1, x), e.square(x))))));
