import type { Operator } from './operator.js';

/** Reverses the first `sequence_lens[i]` elements of each sequence i: its own transpose. */
export const ReverseSequence: Operator = {
  op: 'ReverseSequence',
  since: 10,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }],
  gradient(ctx) {
    const { attributes } = ctx.node;
    return [
      ctx.e.node('ReverseSequence', [ctx.grad(), ctx.input(1)], {
        batch_axis: attributes.int('batch_axis'),
        time_axis: attributes.int('time_axis'),
      }),
    ];
  },
};
