import { float } from '../../graph/attribute.js';
import type { Value } from '../../graph/value.js';
import { composite } from '../composite.js';
import type { Definition, InferContext } from '../operator.js';

/** Output, mean, 1 / deviation, and the sum that is normalized. */
function infer(ctx: InferContext) {
  const shape = ctx.shape(0);
  const reduced = { dtype: 'float32' as const, shape: shape.with(-1, 1) };
  const like = { dtype: ctx.dtype(0), shape };
  return [like, reduced, reduced, like];
}

const added = ({ e, input, has }: Parameters<Definition>[0], bias: number): Value => {
  const sum = e.add(input(0), input(1));
  return has(bias) ? e.add(sum, input(bias)) : sum;
};

/** LayerNormalization of input + skip + bias. */
export const SkipLayerNormalization = composite({
  op: 'SkipLayerNormalization',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer,
  define(ctx) {
    const { e, node, input, has } = ctx;
    const sum = added(ctx, 4);
    const outputs = e.nodes(
      'LayerNormalization',
      has(3) ? [sum, input(2), input(3)] : [sum, input(2)],
      { axis: -1, epsilon: float(node.attributes.float('epsilon', 1e-12)) },
      3,
    );
    return [...outputs, sum];
  },
});

/** RMSNormalization of input + skip + bias. */
export const SkipSimplifiedLayerNormalization = composite({
  op: 'SkipSimplifiedLayerNormalization',
  domain: 'com.microsoft',
  since: 1,
  notes: 'without its statistics',
  native: 'none',
  infer,
  define(ctx) {
    const { e, node, input } = ctx;
    const sum = added(ctx, 3);
    const epsilon = float(node.attributes.float('epsilon', 1e-12));
    return [e.node('SimplifiedLayerNormalization', [sum, input(2)], { axis: -1, epsilon }), undefined, undefined, sum];
  },
});
