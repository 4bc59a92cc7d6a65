import { bitwise } from './elementwise/bitwise.js';

/** Bits that are not set. */
export const BitwiseNot = bitwise('BitwiseNot', 18);
