import { addDims, multiplyDims, subtractDims } from '../shape/dim.js';
import type { Operator } from './operator.js';
import { shapeFromInput } from './shape-input.js';

/** Zeros with the elements of x at the flat positions that MaxPool's Indices name; what the gradient of MaxPool uses. */
export const MaxUnpool: Operator = {
  op: 'MaxUnpool',
  since: 11,
  shape: 'values',
  infer(ctx) {
    if (ctx.has(2)) return [{ dtype: ctx.dtype(0), shape: shapeFromInput(ctx, 2) }];
    const { attributes } = ctx.node;
    const [batch, channels, ...spatial] = ctx.shape(0);
    const kernel = attributes.ints('kernel_shape') ?? ctx.fail("attribute 'kernel_shape' is missing");
    const strides = attributes.ints(
      'strides',
      kernel.map(() => 1),
    );
    const pads = attributes.ints(
      'pads',
      [...kernel, ...kernel].map(() => 0),
    );
    const unpooled = spatial.map((dim, i) =>
      addDims(multiplyDims(subtractDims(dim, 1), strides[i]), kernel[i] - pads[i] - pads[kernel.length + i]),
    );
    return [{ dtype: ctx.dtype(0), shape: [batch, channels, ...unpooled] }];
  },
  gradient: 'none',
};
