import { unary } from './elementwise/unary.js';

/** y = ln(1 + eˣ), y′ = 1 / (1 + e⁻ˣ). */
export const Softplus = unary('Softplus', 1, ({ e, x, dy }) => e.mul(dy, e.node('Sigmoid', [x])));
