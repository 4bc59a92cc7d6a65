import { unary } from './elementwise/unary.js';

/** y = tan x, y′ = 1 + y². */
export const Tan = unary('Tan', 7, ({ e, y, dy }) => e.mul(dy, e.add(e.square(y), e.scalar(1, y))));
