import { unary } from './elementwise/unary.js';

/** y = 1 / (1 + e⁻ˣ), y′ = y (1 − y). */
export const Sigmoid = unary('Sigmoid', 13, ({ e, y, dy }) => e.mul(dy, e.mul(y, e.sub(e.scalar(1, y), y))));
