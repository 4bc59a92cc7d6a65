import { unary } from './elementwise/unary.js';

/** y = x / (1 + |x|), y′ = 1 / (1 + |x|)². */
export const Softsign = unary('Softsign', 1, ({ e, x, dy }) =>
  e.div(dy, e.square(e.add(e.node('Abs', [x]), e.scalar(1, x)))),
);
