import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import type { Dim } from '../../shape/dim.js';
import type { GradientContext, Operator, OperatorFacts } from '../operator.js';

/** What the derivative of y = f(x) is written with. */
export interface UnaryGradient {
  readonly e: Emitter;
  readonly x: Value;
  readonly y: Value;
  /** The cotangent of y. */
  readonly dy: Value;
  readonly ctx: GradientContext;
}

/**
 * An operator y = f(x), element by element.
 *
 * @param derivative returns dy · f′(x)
 * @param facts.contents f on known integers, for shape arithmetic
 */
export function unary(
  op: string,
  since: number,
  derivative: ((gradient: UnaryGradient) => Value) | 'zero',
  { contents, ...facts }: OperatorFacts & { readonly contents?: (x: Dim) => Dim } = {},
): Operator {
  return {
    ...facts,
    op,
    since,
    infer: (ctx) => [
      {
        dtype: ctx.commonDtype(1),
        shape: ctx.shape(0),
        contents: contents === undefined ? undefined : ctx.contents(0)?.map(contents),
      },
    ],
    gradient:
      derivative === 'zero'
        ? 'zero'
        : (ctx) => [derivative({ e: ctx.e, x: ctx.input(0), y: ctx.output(), dy: ctx.grad(), ctx })],
  };
}
