import { unary } from './elementwise/unary.js';

/** y = arsinh x, y′ = 1 / √(x² + 1). */
export const Asinh = unary('Asinh', 9, ({ e, x, dy }) => e.div(dy, e.sqrt(e.add(e.square(x), e.scalar(1, x)))));
