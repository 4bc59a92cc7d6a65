import { requireDType, type DType } from '../model/dtype.js';
import type { InferContext, Operator } from './operator.js';

/** A tensor of random numbers of a shape given as an attribute. */
export function randomOfShape(op: string): Operator {
  return {
    op,
    since: 1,
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? 'float32', shape: ctx.node.attributes.ints('shape', []) }],
    gradient: 'none',
  };
}

/** A tensor of random numbers of the shape of its input, on whose values it does not depend. */
export function randomLikeInput(op: string, since = 1): Operator {
  return {
    op,
    since,
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? ctx.dtype(0), shape: ctx.shape(0) }],
    gradient: 'zero',
  };
}

function dtypeOf({ node }: InferContext): DType | undefined {
  const code = node.attributes.int('dtype');
  return code === undefined ? undefined : requireDType(code, node.label);
}
