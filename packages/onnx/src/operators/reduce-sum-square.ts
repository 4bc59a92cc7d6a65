import { reduction } from './reduction.js';

/** y = Σ x²; y′ = 2x. */
export const ReduceSumSquare = reduction('ReduceSumSquare', 18, ({ e, x, dy }) => e.mul(dy, e.scale(x, 2)));
