import { productOfDims } from '../shape/dim.js';
import type { Operator } from './operator.js';

/** The number of elements of a value. */
export const Size: Operator = {
  op: 'Size',
  since: 13,
  infer: (ctx) => [{ dtype: 'int64', shape: [], contents: [productOfDims(ctx.shape(0))] }],
  gradient: 'none',
};
