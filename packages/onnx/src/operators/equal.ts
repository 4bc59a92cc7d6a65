import { differentDims, equalDims } from '../shape/dim.js';
import { predicate } from './elementwise/predicate.js';

export const Equal = predicate('Equal', 13, (a, b) => {
  if (equalDims(a, b)) return true;
  return differentDims(a, b) ? false : undefined;
});
