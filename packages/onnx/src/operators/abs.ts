import { unary } from './elementwise/unary.js';

/** y = |x|, y′ = sign x (0 at the kink, as PyTorch has it). */
export const Abs = unary('Abs', 13, ({ e, x, dy }) => e.mul(dy, e.node('Sign', [x])));
