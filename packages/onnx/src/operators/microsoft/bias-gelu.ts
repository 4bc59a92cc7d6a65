import { composite, likeInput } from '../composite.js';
import { erfGelu } from '../gelu.js';

/** Gelu of x + bias. */
export const BiasGelu = composite({
  op: 'BiasGelu',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer: likeInput,
  define: ({ e, input }) => [erfGelu(e, e.add(input(0), input(1)))],
});
