import { floorDivideDims, isStatic, lowerBound, type Dim } from '../shape/dim.js';
import { binary } from './elementwise/binary.js';

/** Integer division truncates towards zero, which is the floor where both sides are known not to be negative. */
function divide(a: Dim, b: Dim): Dim | undefined {
  if (isStatic(a) && isStatic(b)) return b === 0 ? undefined : Math.trunc(a / b);
  return lowerBound(a) >= 0 && lowerBound(b) >= 1 ? floorDivideDims(a, b) : undefined;
}

/** y = a / b; ∂y/∂a = 1 / b, ∂y/∂b = −y / b. */
export const Div = binary(
  'Div',
  14,
  { a: ({ e, b, dy }) => e.div(dy, b), b: ({ e, b, y, dy }) => e.neg(e.mul(dy, e.div(y, b))) },
  divide,
);
