import { predicate } from './elementwise/predicate.js';

export const IsNaN = predicate('IsNaN', 13);
