import { unary } from './elementwise/unary.js';

/** Constant wherever it has a derivative. */
export const Ceil = unary('Ceil', 13, 'zero');
