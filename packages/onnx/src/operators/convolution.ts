import type { DefinitionContext, Operator } from '../entry/operator.js';
import { BIAS, DATA, KERNEL } from '../entry/role.js';
import { convolutionInputGradient, convolutionWeightGradient } from '../entry/window/canonical.js';
import {
  convolutionWindows,
  emptyWindows,
  requireChannels,
  requirePlaced,
  transposedWindows,
  spatialAxes,
} from '../entry/window/windows.js';
import type { Value } from '../graph/value.js';
import { multiplyDims } from '../shape/dim.js';
import { isStaticShape, printShape } from '../shape/shape.js';

/**
 * y = x ∗ w + b over any number of spatial axes, with x laid out as [batch, channels, …spatial] and w as
 * [outputs, channels / group, …kernel]. dx is the transposed convolution of dy, dw correlates x with dy, db sums dy.
 */
export const Conv: Operator = {
  op: 'Conv',
  since: 11,
  roles: [DATA, KERNEL, BIAS],
  notes: "'SAME' padding with a stride needs fixed sizes for the gradient",
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const [outputs, inputs, ...kernel] = ctx.shape(1);
    // Weights that are computed may have any size.
    const sized = isStaticShape(kernel) || ctx.node.attributes.ints('kernel_shape') !== undefined;
    const output = sized ? convolutionWindows(ctx, spatial, kernel).output : spatial.map(() => ctx.unknownDim());
    if (ctx.same(channels, multiplyDims(inputs, ctx.node.attributes.int('group', 1))) === undefined) {
      ctx.fail(`weights ${printShape(ctx.shape(1))} do not fit the ${String(channels)} channels of its input`);
    }
    return [{ dtype: ctx.commonDtype(3), shape: [batch, outputs, ...output] }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, weights, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const kernel = ctx.shape(weights).slice(2);
    const windows = requirePlaced(ctx, convolutionWindows(ctx, ctx.shape(x).slice(2), kernel));
    const { groups } = requireChannels(ctx, ctx.shape(weights));
    return [
      ctx.needs(0) ? convolutionInputGradient(e, { weights, dy, x, windows, groups }) : undefined,
      ctx.needs(1) ? convolutionWeightGradient(e, { x, dy, weights, windows, groups }) : undefined,
      ctx.needs(2) ? e.reduceSum(unpooled(dy), [0, ...spatialAxes(windows)]) : undefined,
    ];
  },
};

/** What has the same sums over all positions: the gradient of a pool puts every element of a cotangent somewhere, among zeros. */
function unpooled(dy: Value): Value {
  const { producer } = dy;
  return (producer?.key === 'adakit::MaxPoolGradient' ? producer.inputs[2] : undefined) ?? dy;
}

/**
 * The transpose of the convolution that takes y to x, plus b: x is laid out as [batch, channels, …spatial], w as
 * [channels, outputs / group, …kernel]. So dx is that convolution of dy, and in dw the roles of x and dy are swapped.
 */
export const ConvTranspose: Operator = {
  op: 'ConvTranspose',
  since: 11,
  roles: [DATA, KERNEL, BIAS],
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const [inputs, outputs, ...kernel] = ctx.shape(1);
    if (ctx.same(channels, inputs) === undefined) {
      ctx.fail(`weights ${printShape(ctx.shape(1))} do not fit the ${String(channels)} channels of its input`);
    }
    const { input } = transposedWindows(ctx, spatial, kernel);
    return [
      {
        dtype: ctx.commonDtype(3),
        shape: [batch, multiplyDims(outputs, ctx.node.attributes.int('group', 1)), ...input],
      },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, weights, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const kernel = ctx.shape(weights).slice(2);
    const windows = requirePlaced(ctx, transposedWindows(ctx, ctx.shape(x).slice(2), kernel));
    const { strides, dilations, begin, end } = windows;
    const { groups } = requireChannels(ctx, ctx.shape(weights));
    const convolution = { strides, dilations, pads: [...begin, ...end], group: groups };
    return [
      ctx.needs(0) ? e.assume(e.node('Conv', [dy, weights], convolution), ctx.shape(x)) : undefined,
      ctx.needs(1) ? convolutionWeightGradient(e, { x: dy, dy: x, weights, windows, groups }) : undefined,
      ctx.needs(2) ? e.reduceSum(dy, [0, ...spatialAxes(windows)]) : undefined,
    ];
  },
  define: withoutEmptyWindows,
};

/**
 * Output padding of a stride and more, which is legal below the dilation, makes room for windows at the end that no element
 * of x has. ONNX Runtime does not execute it: less padding is cut off instead, and zeros are added where that is not enough.
 */
function withoutEmptyWindows({ e, node, input, has }: DefinitionContext): readonly Value[] {
  const { attributes } = node;
  const extra = emptyWindows(node);
  const rank = extra.length;
  const pads = attributes.ints('pads', new Array<number>(2 * rank).fill(0));
  const zeros = extra.map((length, i) => Math.max(length - pads[rank + i], 0));
  const isPadded = zeros.some((length) => length > 0);
  const y = e.node('ConvTranspose', isPadded || !has(2) ? [input(0), input(1)] : [input(0), input(1), input(2)], {
    dilations: attributes.ints('dilations'),
    group: attributes.int('group'),
    kernel_shape: attributes.ints('kernel_shape'),
    output_padding: attributes.ints('output_padding', []).map((length, i) => length - extra[i]),
    pads: pads.map((length, i) => (i < rank ? length : Math.max(length - extra[i - rank], 0))),
    strides: attributes.ints('strides'),
  });
  if (!isPadded) return [y];
  const axes = spatialAxes({ kernel: zeros });
  const padded = e.node('Pad', [y, e.int64([0, 0, ...zeros.map(() => 0), 0, 0, ...zeros])]);
  return [
    has(2)
      ? e.add(
          padded,
          e.unsqueeze(
            input(2),
            axes.map((axis) => axis - 1),
          ),
        )
      : padded,
  ];
}
