import { reduction } from './reduction.js';

/** y = ln Σ eˣ; y′ = eˣ⁻ʸ. */
export const ReduceLogSumExp = reduction('ReduceLogSumExp', 18, ({ e, x, y, dy }) => e.mul(dy, e.exp(e.sub(x, y()))));
