import { isStatic, multiplyDims } from '../shape/dim.js';
import { blockSize, exactly, imageShape } from './blocks.js';
import type { Operator } from './operator.js';

/** Blocks of channels become blocks of pixels; SpaceToDepth takes the gradient back. */
export const DepthToSpace: Operator = {
  op: 'DepthToSpace',
  since: 13,
  infer(ctx) {
    const size = blockSize(ctx);
    const [batch, channels, height, width] = imageShape(ctx);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [batch, exactly(ctx, channels, size * size), multiplyDims(height, size), multiplyDims(width, size)],
      },
    ];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const size = node.attributes.int('blocksize', 1);
    const packed = e.node('SpaceToDepth', [ctx.grad()], { blocksize: size });
    if (node.attributes.string('mode', 'DCR') === 'DCR') return [e.assume(packed, ctx.shape(x))];
    // SpaceToDepth orders channels by place in the block, then by channel; CRD is the other way round.
    const [channels] = ctx.shape(ctx.output()).slice(1);
    if (!isStatic(channels)) return ctx.fail('the number of its channels must be known');
    const grouped = e.reshape(packed, [0, size * size, channels, -1]);
    return [e.reshapeLike(e.transpose(grouped, [0, 2, 1, 3]), x)];
  },
};
