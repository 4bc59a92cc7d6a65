import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import type { Dim } from '../../shape/dim.js';
import type { GradientContext, Operator, OperatorFacts } from '../operator.js';
import { broadcastContents } from './contents.js';

/** What the derivatives of y = f(a, b) are written with. */
export interface BinaryGradient {
  readonly e: Emitter;
  readonly a: Value;
  readonly b: Value;
  readonly y: Value;
  /** The cotangent of y. */
  readonly dy: Value;
  readonly ctx: GradientContext;
}

interface BinaryFacts extends OperatorFacts {
  readonly contents?: (a: Dim, b: Dim) => Dim | undefined;
  readonly dtypes?: 'one' | 'any';
}

/**
 * An operator y = f(a, b), element by element with broadcasting; y has the dtype of a.
 *
 * @param derivatives return dy · ∂f/∂a and dy · ∂f/∂b at the broadcast shape; summing back to the shape of the input is
 * done here
 * @param facts.contents f on known integers, for shape arithmetic; undefined when it cannot tell
 * @param facts.dtypes whether a and b must be of `one` dtype (the default)
 */
export function binary(
  op: string,
  since: number,
  derivatives: { a: (gradient: BinaryGradient) => Value; b: (gradient: BinaryGradient) => Value },
  { contents, dtypes = 'one', ...facts }: BinaryFacts = {},
): Operator {
  return {
    ...facts,
    op,
    since,
    infer(ctx) {
      const shape = ctx.broadcast(ctx.shape(0), ctx.shape(1));
      const known = contents && broadcastContents([ctx.contents(0), ctx.contents(1)], shape, contents);
      return [{ dtype: dtypes === 'one' ? ctx.commonDtype(2) : ctx.dtype(0), shape, contents: known }];
    },
    gradient(ctx) {
      const gradient = { e: ctx.e, a: ctx.input(0), b: ctx.input(1), y: ctx.output(), dy: ctx.grad(), ctx };
      return [
        ctx.needs(0) ? ctx.unbroadcast(derivatives.a(gradient), 0) : undefined,
        ctx.needs(1) ? ctx.unbroadcast(derivatives.b(gradient), 1) : undefined,
      ];
    },
  };
}
