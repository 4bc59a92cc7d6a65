import { addDims, isAtLeast } from '../shape/dim.js';
import { predicate } from './elementwise/predicate.js';

export const GreaterOrEqual = predicate('GreaterOrEqual', 16, (a, b) => {
  if (isAtLeast(a, b)) return true;
  return isAtLeast(b, addDims(a, 1)) ? false : undefined;
});
