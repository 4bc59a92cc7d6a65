import type { Operator } from './operator.js';

/** The determinant of each matrix. */
export const Det: Operator = {
  op: 'Det',
  since: 11,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0).slice(0, -2) }],
  gradient: 'none',
};
