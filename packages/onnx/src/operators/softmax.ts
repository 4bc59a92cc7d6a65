import type { Operator } from './operator.js';
import { softmaxOfMatrix } from './softmax-of-matrix.js';

/** y = eˣ / Σ eˣ over one axis; dx = y (dy − Σ dy y). */
export const Softmax: Operator = {
  op: 'Softmax',
  since: 13,
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [y, dy] = [ctx.output(), ctx.grad()];
    const axis = ctx.node.attributes.int('axis', -1);
    const inner = e.reduceSum(e.mul(dy, y), [axis], { keepdims: true });
    return [e.mul(y, e.sub(dy, inner))];
  },
  upgrade: softmaxOfMatrix,
};
