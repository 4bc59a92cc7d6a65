import { addDims } from '../shape/dim.js';
import { variadic } from './elementwise/variadic.js';

/** y = x₁ + … + xₙ. */
export const Sum = variadic('Sum', 13, ({ dy }) => dy, addDims);
