import { reduction } from './reduction.js';

/** y = ln Σ x; y′ = e⁻ʸ. */
export const ReduceLogSum = reduction('ReduceLogSum', 18, ({ e, y, dy }) => e.mul(dy, e.exp(e.neg(y()))));
