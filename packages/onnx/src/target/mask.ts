import type { Formulation, FormulationContext } from './target.js';
import type { Value } from '../graph/value.js';

/** `x where the condition holds, else 0`, whatever x is there. */
const select = ({ e, input }: FormulationContext): Value => e.where(input(0), input(1), e.scalar(0, input(1)));

/** The same as a product with 0 and 1, but for 0 · ∞ = 0 · NaN = NaN. */
const multiply = ({ e, input }: FormulationContext): Value =>
  e.mul(input(1), e.cast(input(0), input(1).dtype ?? 'float32'));

/** By Where. */
export const maskBySelection: Formulation = (ctx) => [select(ctx)];

/** Always as a product. */
export const maskByProduct: Formulation = (ctx) => [multiply(ctx)];

/**
 * As a product where x is known to be finite as long as the loss is, which the attribute `bounded` says, else by Where. For the
 * gradient of Relu over 32 × 64 × 32 × 32 elements Where takes 9.0 ms on ONNX Runtime's CPU provider, the product 0.78
 * (measured, 1.30). Under √relu(x) the cotangent is infinite where it does not count, and PyTorch gives 0.
 */
export const maskBoundedByProduct: Formulation = (ctx) => [
  ctx.node.attributes.int('bounded', 0) === 1 ? multiply(ctx) : select(ctx),
];
