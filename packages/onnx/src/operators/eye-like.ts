import { requireDType } from '../model/dtype.js';
import type { Operator } from './operator.js';

/** Ones on one diagonal of a matrix of the shape of the input, zeros elsewhere. */
export const EyeLike: Operator = {
  op: 'EyeLike',
  since: 9,
  infer(ctx) {
    const code = ctx.node.attributes.int('dtype');
    return [{ dtype: code === undefined ? ctx.dtype(0) : requireDType(code, ctx.node.label), shape: ctx.shape(0) }];
  },
  gradient: 'zero',
};
