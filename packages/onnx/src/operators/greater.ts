import { addDims, isAtLeast } from '../shape/dim.js';
import { predicate } from './elementwise/predicate.js';

export const Greater = predicate('Greater', 13, (a, b) => {
  if (isAtLeast(a, addDims(b, 1))) return true;
  return isAtLeast(b, a) ? false : undefined;
});
