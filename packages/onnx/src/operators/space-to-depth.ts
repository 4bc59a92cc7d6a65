import { multiplyDims } from '../shape/dim.js';
import { blockSize, exactly, imageShape } from './blocks.js';
import type { Operator } from './operator.js';

/** Blocks of pixels become blocks of channels; DepthToSpace takes the gradient back. */
export const SpaceToDepth: Operator = {
  op: 'SpaceToDepth',
  since: 13,
  infer(ctx) {
    const size = blockSize(ctx);
    const [batch, channels, height, width] = imageShape(ctx);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [batch, multiplyDims(channels, size * size), exactly(ctx, height, size), exactly(ctx, width, size)],
      },
    ];
  },
  gradient(ctx) {
    const dx = ctx.e.node('DepthToSpace', [ctx.grad()], { blocksize: ctx.node.attributes.int('blocksize') });
    return [ctx.e.assume(dx, ctx.shape(ctx.input(0)))];
  },
};
