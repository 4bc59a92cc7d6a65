import { equalDims } from '../shape/dim.js';
import { composite, likeInput } from './composite.js';
import { alongChannels, standardize } from './normalization.js';

/**
 * y = scale · x̂ + bias, with x̂ standardized over each group of channels of a sample. Scale and bias are one number a
 * channel (the form of opset 21) or one a group (of opset 18, which is deprecated): their length tells.
 */
export const GroupNormalization = composite({
  op: 'GroupNormalization',
  since: 18,
  native: 'none',
  infer: likeInput,
  define(ctx) {
    const { e, node } = ctx;
    const [x, scale, bias] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const shape = ctx.shape(x);
    const groups = node.attributes.int('num_groups') ?? ctx.fail("attribute 'num_groups' is missing");
    const { standardized } = standardize(e, e.reshape(x, [0, groups, -1]), [2], node.attributes.float('epsilon', 1e-5));
    if (equalDims(ctx.shape(scale)[0], shape[1])) {
      const scaled = e.mul(e.reshapeLike(standardized, x), alongChannels(e, scale, shape.length));
      return [e.add(scaled, alongChannels(e, bias, shape.length))];
    }
    const scaled = e.mul(standardized, alongChannels(e, scale, 3));
    return [e.reshapeLike(e.add(scaled, alongChannels(e, bias, 3)), x)];
  },
});
