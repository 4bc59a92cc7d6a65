import { unary } from './elementwise/unary.js';

/** y = x · min(max(x / 6 + 1/2, 0), 1); y′ = 0 below −3, x / 3 + 1/2 up to 3, 1 above. */
export const HardSwish = unary('HardSwish', 14, ({ e, x, dy }) => {
  const three = e.scalar(3, x);
  const slope = e.add(e.scale(x, 1 / 3), e.scalar(0.5, x));
  const rising = e.where(e.greater(x, three), dy, e.mul(dy, slope));
  return e.where(e.less(x, e.neg(three)), e.scalar(0, dy), rising);
});
