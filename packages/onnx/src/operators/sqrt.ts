import { unary } from './elementwise/unary.js';

/** y = √x, y′ = 1 / (2y). */
export const Sqrt = unary('Sqrt', 13, ({ e, y, dy }) => e.div(e.scale(dy, 0.5), y));
