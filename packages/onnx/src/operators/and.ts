import { predicate } from './elementwise/predicate.js';

export const And = predicate('And', 7, (a, b) => a !== 0 && b !== 0);
