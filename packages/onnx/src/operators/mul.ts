import { multiplyDims } from '../shape/dim.js';
import { binary } from './elementwise/binary.js';

/** y = a b; ∂y/∂a = b, ∂y/∂b = a. */
export const Mul = binary(
  'Mul',
  14,
  { a: ({ e, b, dy }) => e.mul(dy, b), b: ({ e, a, dy }) => e.mul(dy, a) },
  multiplyDims,
);
