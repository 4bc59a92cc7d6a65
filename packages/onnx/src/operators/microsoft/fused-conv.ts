import { composite } from '../composite.js';
import { Conv } from '../conv.js';
import { activated } from './fused-activation.js';

/** Conv, plus a fourth input, and an activation: what ONNX Runtime's optimizer makes of these. */
export const FusedConv = composite({
  op: 'FusedConv',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer: (ctx) => Conv.infer({ ...ctx, commonDtype: () => ctx.commonDtype(4) }),
  define(ctx) {
    const { e, node } = ctx;
    const { attributes } = node;
    const y = e.node('Conv', [ctx.input(0), ctx.input(1), ...(ctx.has(2) ? [ctx.input(2)] : [])], {
      auto_pad: attributes.string('auto_pad'),
      dilations: attributes.ints('dilations'),
      group: attributes.int('group'),
      kernel_shape: attributes.ints('kernel_shape'),
      pads: attributes.ints('pads'),
      strides: attributes.ints('strides'),
    });
    return [activated(ctx, ctx.has(3) ? e.add(y, ctx.input(3)) : y, attributes.floats('activation_params') ?? [])];
  },
});
