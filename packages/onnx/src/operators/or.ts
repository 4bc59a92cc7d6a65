import { predicate } from './elementwise/predicate.js';

export const Or = predicate('Or', 7, (a, b) => a !== 0 || b !== 0);
