import { alsoOfBools, reduction, toAttaining } from './reduction.js';

/** y = min x; elements that share the minimum share the cotangent, as in PyTorch. */
export const ReduceMin = alsoOfBools(reduction('ReduceMin', 18, toAttaining));
