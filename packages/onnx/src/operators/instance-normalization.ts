import { composite, likeInput } from './composite.js';
import { alongChannels, axesFrom, standardize } from './normalization.js';

/** y = scale · x̂ + bias, with x̂ standardized over the spatial axes of each sample and channel. */
export const InstanceNormalization = composite({
  op: 'InstanceNormalization',
  since: 6,
  native: 'float32',
  infer: likeInput,
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const rank = ctx.shape(x).length;
    const { standardized } = standardize(e, x, axesFrom(2, rank), ctx.node.attributes.float('epsilon', 1e-5));
    const scaled = e.mul(standardized, alongChannels(e, ctx.input(1), rank));
    return [e.add(scaled, alongChannels(e, ctx.input(2), rank))];
  },
});
