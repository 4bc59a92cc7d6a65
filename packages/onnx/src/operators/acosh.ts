import { unary } from './elementwise/unary.js';

/** y = arcosh x, y′ = 1 / √(x² − 1). */
export const Acosh = unary('Acosh', 9, ({ e, x, dy }) => e.div(dy, e.sqrt(e.sub(e.square(x), e.scalar(1, x)))));
