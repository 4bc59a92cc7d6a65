import { unary } from './elementwise/unary.js';

/** y = artanh x, y′ = 1 / (1 − x²). */
export const Atanh = unary('Atanh', 9, ({ e, x, dy }) => e.div(dy, e.sub(e.scalar(1, x), e.square(x))));
