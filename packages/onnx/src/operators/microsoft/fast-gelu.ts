import { composite, likeInput } from '../composite.js';
import { tanhGelu } from '../gelu.js';

/** The tanh form of Gelu of x, or of x + bias. */
export const FastGelu = composite({
  op: 'FastGelu',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer: likeInput,
  define: ({ e, input, has }) => [tanhGelu(e, has(1) ? e.add(input(0), input(1)) : input(0))],
});
