import type { Operator } from './operator.js';
import { softmaxOfMatrix } from './softmax-of-matrix.js';

/** y = x − ln Σ eˣ over one axis; dx = dy − eʸ Σ dy. */
export const LogSoftmax: Operator = {
  op: 'LogSoftmax',
  since: 13,
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [y, dy] = [ctx.output(), ctx.grad()];
    const total = e.reduceSum(dy, [ctx.node.attributes.int('axis', -1)], { keepdims: true });
    return [e.sub(dy, e.mul(e.exp(y), total))];
  },
  upgrade: softmaxOfMatrix,
};
