import { subtractDims } from '../shape/dim.js';
import { binary } from './elementwise/binary.js';

/** y = a − b. */
export const Sub = binary('Sub', 14, { a: ({ dy }) => dy, b: ({ e, dy }) => e.neg(dy) }, subtractDims);
