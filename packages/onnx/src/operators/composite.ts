import type { ValueInfo } from '../graph/value.js';
import type { Definition, InferContext, Operator } from './operator.js';

/**
 * An operator whose gradient is that of its definition in terms of others. The backward pass computes the inner values
 * of the definition again.
 *
 * @param options.native in which dtypes ONNX Runtime executes the operator itself at the target opset; for others the
 * definition replaces the node when a model is imported
 */
export function composite(options: {
  readonly op: string;
  readonly domain?: string;
  readonly since: number;
  readonly shape?: NonNullable<Operator['shape']>;
  readonly notes?: string;
  readonly native: 'all' | 'float32' | 'none';
  readonly infer: (ctx: InferContext) => readonly ValueInfo[];
  readonly define: Definition;
  readonly upgrade?: NonNullable<Operator['upgrade']>;
}): Operator {
  const { native, define, ...rest } = options;
  const gradient: Operator['gradient'] = (ctx) => ctx.pullback(define);
  if (native === 'all') return { ...rest, gradient };
  return {
    ...rest,
    gradient,
    decompose: (ctx) => (native === 'float32' && ctx.input(0).dtype === 'float32' ? undefined : define(ctx)),
  };
}

/** The shape rule of everything that keeps the shape and dtype of its first input. */
export function likeInput(ctx: InferContext): readonly ValueInfo[] {
  return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
}
