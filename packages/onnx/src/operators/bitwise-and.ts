import { bitwise } from './elementwise/bitwise.js';

/** Bits that are set in both. */
export const BitwiseAnd = bitwise('BitwiseAnd', 18);
