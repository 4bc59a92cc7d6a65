import { alsoOfBools, reduction, toAttaining } from './reduction.js';

/** y = max x; elements that share the maximum share the cotangent, as in PyTorch. */
export const ReduceMax = alsoOfBools(reduction('ReduceMax', 18, toAttaining));
