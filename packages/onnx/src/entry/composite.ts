import type { ValueInfo } from '../graph/value.js';
import type { Definition, InferContext, Operator, OperatorFacts } from './operator.js';

interface CompositeOperator extends OperatorFacts {
  readonly op: string;
  readonly domain?: string;
  readonly since: number;
  readonly infer: (ctx: InferContext) => readonly ValueInfo[];
  readonly define: Definition;
}

/**
 * An operator whose gradient is that of its definition in terms of others. The backward pass computes the inner values
 * of the definition again.
 */
export function composite(operator: CompositeOperator): Operator {
  const { define } = operator;
  return { ...operator, gradient: (ctx) => ctx.pullback(define) };
}

/** The shape rule of everything that keeps the shape and dtype of its first input. */
export function likeInput(ctx: InferContext): readonly ValueInfo[] {
  return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
}

/** As {@link likeInput}, for what is computed along the axis of an attribute, by default the last one. */
export function likeInputAlongAxis(ctx: InferContext): readonly ValueInfo[] {
  ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
  return likeInput(ctx);
}
