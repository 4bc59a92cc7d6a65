import { predicate } from './elementwise/predicate.js';

export const Xor = predicate('Xor', 7, (a, b) => (a !== 0) !== (b !== 0));
