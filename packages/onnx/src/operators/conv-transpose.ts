import { differentDims, multiplyDims } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';
import type { Operator } from './operator.js';
import { weightGradient } from './window/weight-gradient.js';
import { requireChannels, requirePlaced, spatialAxes, transposedWindows } from './window/windows.js';

/**
 * The transpose of the convolution that takes y to x, plus b: x is laid out as [batch, channels, …spatial], w as
 * [channels, outputs / group, …kernel]. So dx is that convolution of dy, and in dw the roles of x and dy are swapped.
 */
export const ConvTranspose: Operator = {
  op: 'ConvTranspose',
  since: 11,
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const [inputs, outputs, ...kernel] = ctx.shape(1);
    if (differentDims(channels, inputs)) {
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
    const channels = requireChannels(ctx, ctx.shape(weights));
    const convolution = { strides, dilations, pads: [...begin, ...end], group: channels.groups };
    return [
      ctx.needs(0) ? e.assume(e.node('Conv', [dy, weights], convolution), ctx.shape(x)) : undefined,
      ctx.needs(1) ? weightGradient(e, { x: dy, channels, windows, dy: x }) : undefined,
      ctx.needs(2) ? e.reduceSum(dy, [0, ...spatialAxes(windows)]) : undefined,
    ];
  },
};
