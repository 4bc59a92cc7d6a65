import { argReduction } from './arg-reduction.js';

/** Where the smallest element along an axis is. */
export const ArgMin = argReduction('ArgMin');
