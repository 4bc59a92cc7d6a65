import { unary } from './elementwise/unary.js';

/** y = arcsin x, y′ = 1 / √(1 − x²). */
export const Asin = unary('Asin', 7, ({ e, x, dy }) => e.div(dy, e.sqrt(e.sub(e.scalar(1, x), e.square(x)))));
