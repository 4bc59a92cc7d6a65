import type { Formulation } from './target.js';

/**
 * `x where the condition holds, else 0` as a product with 0 and 1. For the gradient of Relu over 32 × 64 × 32 × 32 elements
 * Where takes 9.0 ms on ONNX Runtime's CPU provider, the product 0.78 (measured, 1.30). It is the same but for
 * 0 · ∞ = 0 · NaN = NaN: where the cotangent is infinite although it does not count, as under √relu(x), PyTorch gives 0.
 */
export const maskByProduct: Formulation = ({ e, input }) => {
  const [condition, x] = [input(0), input(1)];
  return [e.mul(x, e.cast(condition, x.dtype ?? 'float32'))];
};
