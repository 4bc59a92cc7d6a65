import type { Operator } from './operator.js';

/** The position of an extreme element along one axis. */
export function argReduction(op: string): Operator {
  return {
    op,
    since: 13,
    infer(ctx) {
      const { attributes } = ctx.node;
      const shape = ctx.shape(0);
      const axis = ctx.axis(attributes.int('axis', 0), shape.length);
      const kept = attributes.int('keepdims', 1) === 1;
      return [{ dtype: 'int64', shape: kept ? shape.with(axis, 1) : shape.toSpliced(axis, 1) }];
    },
    gradient: 'none',
  };
}
