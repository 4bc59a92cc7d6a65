import { composite, likeInput } from './composite.js';

/** y = x / (1 + e^(−αx)). */
export const Swish = composite({
  op: 'Swish',
  since: 24,
  native: 'none',
  infer: likeInput,
  define({ e, node, input }) {
    const gate = e.node('Sigmoid', [e.scale(input(0), node.attributes.float('alpha', 1))]);
    return [e.mul(input(0), gate)];
  },
});
