import { addDims, isAtLeast } from '../shape/dim.js';
import { predicate } from './elementwise/predicate.js';

export const Less = predicate('Less', 13, (a, b) => {
  if (isAtLeast(b, addDims(a, 1))) return true;
  return isAtLeast(a, b) ? false : undefined;
});
