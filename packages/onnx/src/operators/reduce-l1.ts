import { reduction } from './reduction.js';

/** y = Σ |x|; y′ = sign x. */
export const ReduceL1 = reduction('ReduceL1', 18, ({ e, x, dy }) => e.mul(dy, e.node('Sign', [x])));
