import { negateDim } from '../shape/dim.js';
import { unary } from './elementwise/unary.js';

/** y = −x, y′ = −1. */
export const Neg = unary('Neg', 13, ({ e, dy }) => e.neg(dy), negateDim);
