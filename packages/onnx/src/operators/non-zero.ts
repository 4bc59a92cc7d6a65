import type { Operator } from './operator.js';

/** The indices of the elements that are not zero, one column an element. */
export const NonZero: Operator = {
  op: 'NonZero',
  since: 13,
  shape: 'data',
  infer: (ctx) => [{ dtype: 'int64', shape: [ctx.rank(0), ctx.unknownDim(0)] }],
  gradient: 'none',
};
