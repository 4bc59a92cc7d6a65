import { unary } from './elementwise/unary.js';

/** Constant wherever it has a derivative. */
export const Floor = unary('Floor', 13, 'zero');
