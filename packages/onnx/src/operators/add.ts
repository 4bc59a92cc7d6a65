import { addDims } from '../shape/dim.js';
import { binary } from './elementwise/binary.js';

/** y = a + b. */
export const Add = binary('Add', 14, { a: ({ dy }) => dy, b: ({ dy }) => dy }, addDims);
