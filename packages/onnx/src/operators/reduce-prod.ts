import { reduction } from './reduction.js';

/**
 * y = Π x; y′ = the product of the others: y / x where there is no zero, the product of the rest for a single zero, and
 * 0 beside two.
 */
export const ReduceProd = reduction('ReduceProd', 18, ({ e, x, y, dy, ctx }) => {
  const zero = e.scalar(0, x);
  const isZero = e.equal(x, zero);
  const nonZero = e.where(isZero, e.scalar(1, x), x);
  const over = (op: string, value: typeof x) =>
    e.node(op, ctx.has(1) ? [value, ctx.input(1)] : [value], {
      keepdims: 1,
      noop_with_empty_axes: ctx.node.attributes.int('noop_with_empty_axes'),
    });
  const zeros = over('ReduceSum', e.cast(isZero, x.dtype ?? 'float32'));
  const single = e.equal(zeros, e.scalar(1, x));
  const others = e.where(single, over('ReduceProd', nonZero), zero);
  return e.mul(dy, e.where(isZero, others, e.div(y(), nonZero)));
});
