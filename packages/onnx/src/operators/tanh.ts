import { unary } from './elementwise/unary.js';

/** y = tanh x, y′ = 1 − y². */
export const Tanh = unary('Tanh', 13, ({ e, y, dy }) => e.mul(dy, e.sub(e.scalar(1, y), e.square(y))));
