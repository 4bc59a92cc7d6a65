import { floorDivideDims, isAtLeast, multiplyDims, subtractDims } from '../shape/dim.js';
import { binary } from './elementwise/binary.js';

/**
 * The rest of a division: of the sign of b for integers, of the sign of a (C's fmod) for floats.
 * With a = b trunc(a / b) + y, ∂y/∂a = 1 and ∂y/∂b = −trunc(a / b) = −(a − y) / b.
 */
export const Mod = binary(
  'Mod',
  13,
  { a: ({ dy }) => dy, b: ({ e, a, b, y, dy }) => e.neg(e.mul(dy, e.div(e.sub(a, y), b))) },
  (a, b) => (isAtLeast(a, 0) && isAtLeast(b, 1) ? subtractDims(a, multiplyDims(b, floorDivideDims(a, b))) : undefined),
);
