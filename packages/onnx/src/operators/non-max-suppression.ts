import type { Operator } from './operator.js';

/** The boxes that are kept, as rows of batch, class and box. */
export const NonMaxSuppression: Operator = {
  op: 'NonMaxSuppression',
  since: 11,
  shape: 'data',
  infer: (ctx) => [{ dtype: 'int64', shape: [ctx.unknownDim(0), 3] }],
  gradient: 'none',
};
