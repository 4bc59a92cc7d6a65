import { predicate } from './elementwise/predicate.js';

export const IsInf = predicate('IsInf', 10);
