import { reduction } from './reduction.js';

/** y = √Σ x²; y′ = x / y, taken as 0 where y = 0. */
export const ReduceL2 = reduction('ReduceL2', 18, ({ e, x, y, dy }) => {
  const norm = y();
  const zero = e.scalar(0, norm);
  const isZero = e.equal(norm, zero);
  return e.mul(x, e.where(isZero, zero, e.div(dy, e.where(isZero, e.scalar(1, norm), norm))));
});
