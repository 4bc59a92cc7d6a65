import { argReduction } from './arg-reduction.js';

/** Where the largest element along an axis is. */
export const ArgMax = argReduction('ArgMax');
