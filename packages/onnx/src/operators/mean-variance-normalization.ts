import { composite, likeInput } from './composite.js';
import { mean } from './normalization.js';

/** y = (x − E x) / (√Var x + 10⁻⁹) over `axes`, by default all but the channels of a batch of images. */
export const MeanVarianceNormalization = composite({
  op: 'MeanVarianceNormalization',
  since: 13,
  native: 'float32',
  infer(ctx) {
    for (const axis of ctx.node.attributes.ints('axes', [0, 2, 3])) ctx.axis(axis, ctx.rank(0));
    return likeInput(ctx);
  },
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const axes = ctx.node.attributes.ints('axes', [0, 2, 3]);
    const centered = e.sub(x, mean(e, x, axes));
    const deviation = e.sqrt(mean(e, e.square(centered), axes));
    return [e.div(centered, e.add(deviation, e.scalar(1e-9, x)))];
  },
});
