import { unary } from './elementwise/unary.js';

/** y = sign x, constant wherever it has a derivative. */
export const Sign = unary('Sign', 13, 'zero');
