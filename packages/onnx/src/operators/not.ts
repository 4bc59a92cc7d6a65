import { predicate } from './elementwise/predicate.js';

export const Not = predicate('Not', 1, (a) => a === 0);
