import { addDims, isAtLeast } from '../shape/dim.js';
import { predicate } from './elementwise/predicate.js';

export const LessOrEqual = predicate('LessOrEqual', 16, (a, b) => {
  if (isAtLeast(b, a)) return true;
  return isAtLeast(a, addDims(b, 1)) ? false : undefined;
});
