import { composite, likeInput } from './composite.js';

/** y = x tanh(ln(1 + eˣ)). */
export const Mish = composite({
  op: 'Mish',
  since: 18,
  native: 'float32',
  infer: likeInput,
  define: ({ e, input }) => [e.mul(input(0), e.node('Tanh', [e.node('Softplus', [input(0)])]))],
});
