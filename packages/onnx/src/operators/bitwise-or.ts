import { bitwise } from './elementwise/bitwise.js';

/** Bits that are set in one or both. */
export const BitwiseOr = bitwise('BitwiseOr', 18);
