import { Conv } from '../conv.js';
import type { Operator } from '../operator.js';

/** A convolution of 8-bit values, in 32 bits. */
export const ConvInteger: Operator = {
  op: 'ConvInteger',
  since: 10,
  infer: (ctx) => Conv.infer({ ...ctx, commonDtype: () => 'int32' }),
  gradient: 'none',
};
