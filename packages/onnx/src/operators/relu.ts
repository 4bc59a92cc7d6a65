import { unary } from './elementwise/unary.js';

/** y = max(x, 0), y′ = 1 where x > 0 and 0 elsewhere (0 at the kink, as PyTorch has it). */
export const Relu = unary('Relu', 14, ({ e, y, dy }) => e.where(e.greater(y, e.scalar(0, y)), dy, e.scalar(0, dy)));
