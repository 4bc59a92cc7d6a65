import type { Operator } from '../operator.js';

/** An operator on the bits of integers, with broadcasting; it has no gradient. */
export function bitwise(op: string, since: number): Operator {
  return {
    op,
    since,
    infer(ctx) {
      const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
      return [{ dtype: ctx.dtype(0), shape: ctx.broadcast(...indices.map((i) => ctx.shape(i))) }];
    },
    gradient: 'none',
  };
}
