import { bitwise } from './elementwise/bitwise.js';

/** Bits that are set in one only. */
export const BitwiseXor = bitwise('BitwiseXor', 18);
