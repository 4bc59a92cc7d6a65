import { unary } from './elementwise/unary.js';

/** y = arctan x, y′ = 1 / (1 + x²). */
export const Atan = unary('Atan', 7, ({ e, x, dy }) => e.div(dy, e.add(e.square(x), e.scalar(1, x))));
