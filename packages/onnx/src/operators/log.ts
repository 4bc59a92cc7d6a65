import { unary } from './elementwise/unary.js';

/** y = ln x, y′ = 1 / x. */
export const Log = unary('Log', 13, ({ e, x, dy }) => e.div(dy, x));
