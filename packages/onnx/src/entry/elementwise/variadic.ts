import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import type { Dim } from '../../shape/dim.js';
import type { Operator, OperatorFacts } from '../operator.js';
import { broadcastContents } from './contents.js';

/** What the derivatives of y = f(x₁, …, xₙ) are written with. */
export interface VariadicGradient {
  readonly e: Emitter;
  readonly inputs: readonly Value[];
  readonly y: Value;
  /** The cotangent of y. */
  readonly dy: Value;
}

/**
 * An operator over any number of inputs, element by element with broadcasting.
 *
 * @param derivative returns dy · ∂f/∂xᵢ at the broadcast shape for the input `x`
 * @param facts.contents f on two known integers, for shape arithmetic
 */
export function variadic(
  op: string,
  since: number,
  derivative: (gradient: VariadicGradient, x: Value) => Value,
  { contents, ...facts }: OperatorFacts & { readonly contents?: (a: Dim, b: Dim) => Dim } = {},
): Operator {
  return {
    ...facts,
    op,
    since,
    infer(ctx) {
      const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
      const shape = ctx.broadcast(...indices.map((i) => ctx.shape(i)));
      const inputs = indices.map((i) => ctx.contents(i));
      const known = contents && broadcastContents(inputs, shape, (...elements) => elements.reduce(contents));
      return [{ dtype: ctx.commonDtype(Infinity), shape, contents: known }];
    },
    gradient(ctx) {
      const inputs = Array.from({ length: ctx.inputCount }, (_, i) => ctx.input(i));
      const gradient = { e: ctx.e, inputs, y: ctx.output(), dy: ctx.grad() };
      return inputs.map((x, i) => (ctx.needs(i) ? ctx.unbroadcast(derivative(gradient, x), i) : undefined));
    },
  };
}

/** The derivative of a maximum or minimum: dy goes to the inputs that attain it, in equal shares. */
export function toAttaining({ e, inputs, y, dy }: VariadicGradient, x: Value): Value {
  const attains = (input: Value) => e.cast(e.equal(input, y), dy.dtype ?? 'float32');
  if (inputs.length === 1) return dy;
  const count = inputs.map(attains).reduce((a, b) => e.add(a, b));
  return e.div(e.mul(dy, attains(x)), count);
}
