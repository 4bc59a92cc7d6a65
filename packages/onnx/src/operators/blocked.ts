import { likeInput } from '../entry/composite.js';
import type { InferContext, Operator } from '../entry/operator.js';
import { Conv as StandardConv } from './convolution.js';

/*
 * ONNX Runtime's own convolutions on the CPU, over values whose channels lie in blocks as long as its vectors:
 * [batch, channels / block, …spatial, block] in memory, though their shapes are those of [batch, channels, …spatial]. How long a
 * block is no model can say, so no file that is to run elsewhere has them.
 */

const domain = 'com.microsoft.nchwc';

const own = {
  domain,
  since: 1,
  notes: "for one machine's CPU, written by formulations",
  gradient: 'none',
  obstacle: {
    what: 'it lays channels out in blocks for the machine that the model was optimized on',
    hint: 'take the model as it was before, or optimize it at a lower level',
  },
} as const;

/** Channels into blocks; zeros fill the last one. */
export const ReorderInput: Operator = {
  ...own,
  op: 'ReorderInput',
  infer: likeInput,
};

/** As many channels as `channels` says out of blocks. */
export const ReorderOutput: Operator = {
  ...own,
  op: 'ReorderOutput',
  infer(ctx) {
    const [batch, , ...spatial] = ctx.shape(0);
    const channels = ctx.node.attributes.int('channels') ?? ctx.fail("attribute 'channels' is missing");
    return [{ dtype: ctx.dtype(0), shape: [batch, channels, ...spatial] }];
  },
};

/** Conv in blocks: weights are [outputs / block, inputs / block, …kernel, block of inputs, block of outputs] in memory. */
export const Conv: Operator = { ...own, op: 'Conv', infer: (ctx: InferContext) => StandardConv.infer(ctx) };
