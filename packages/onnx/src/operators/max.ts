import { maxDims } from '../shape/dim.js';
import { toAttaining, variadic } from './elementwise/variadic.js';

/** y = max(x₁, …, xₙ); where several inputs attain it they share the cotangent, as in PyTorch. */
export const Max = variadic('Max', 13, toAttaining, maxDims);
