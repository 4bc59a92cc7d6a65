import { unary } from './elementwise/unary.js';

/** Constant wherever it has a derivative. */
export const Round = unary('Round', 11, 'zero');
