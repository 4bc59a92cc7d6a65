import { bitwise } from './elementwise/bitwise.js';

/** Bits shifted left or right. */
export const BitShift = bitwise('BitShift', 11);
