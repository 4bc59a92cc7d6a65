import { minDims } from '../shape/dim.js';
import { toAttaining, variadic } from './elementwise/variadic.js';

/** y = min(x₁, …, xₙ); where several inputs attain it they share the cotangent, as in PyTorch. */
export const Min = variadic('Min', 13, toAttaining, minDims);
