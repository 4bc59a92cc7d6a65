import { reduction } from './reduction.js';

/** y = Σ x; y′ = 1. */
export const ReduceSum = reduction('ReduceSum', 13, ({ dy }) => dy);
