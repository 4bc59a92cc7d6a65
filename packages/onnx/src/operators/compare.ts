import { predicate } from '../entry/elementwise/predicate.js';
import { broadcasting } from '../entry/older-form.js';
import { addDims, differentDims, equalDims, isAtLeast } from '../shape/dim.js';

export const Equal = predicate(
  'Equal',
  13,
  (a, b) => {
    if (equalDims(a, b)) return true;
    return differentDims(a, b) ? false : undefined;
  },
  {
    early: [broadcasting],
  },
);

export const Greater = predicate(
  'Greater',
  13,
  (a, b) => {
    if (isAtLeast(a, addDims(b, 1))) return true;
    return isAtLeast(b, a) ? false : undefined;
  },
  {
    early: [broadcasting],
  },
);

export const GreaterOrEqual = predicate('GreaterOrEqual', 16, (a, b) => {
  if (isAtLeast(a, b)) return true;
  return isAtLeast(b, addDims(a, 1)) ? false : undefined;
});

export const Less = predicate(
  'Less',
  13,
  (a, b) => {
    if (isAtLeast(b, addDims(a, 1))) return true;
    return isAtLeast(a, b) ? false : undefined;
  },
  {
    early: [broadcasting],
  },
);

export const LessOrEqual = predicate('LessOrEqual', 16, (a, b) => {
  if (isAtLeast(b, a)) return true;
  return isAtLeast(a, addDims(b, 1)) ? false : undefined;
});

export const IsInf = predicate('IsInf', 10);

export const IsNaN = predicate('IsNaN', 13);
