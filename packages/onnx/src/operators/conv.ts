import { differentDims, multiplyDims } from '../shape/dim.js';
import { isStaticShape, printShape } from '../shape/shape.js';
import type { Operator } from './operator.js';
import { inputGradient } from './window/input-gradient.js';
import { weightGradient } from './window/weight-gradient.js';
import { convolutionWindows, requireChannels, requirePlaced, spatialAxes } from './window/windows.js';

/**
 * y = x ∗ w + b over any number of spatial axes, with x laid out as [batch, channels, …spatial] and w as
 * [outputs, channels / group, …kernel]. dx is the transposed convolution of dy, dw correlates x with dy, db sums dy.
 */
export const Conv: Operator = {
  op: 'Conv',
  since: 11,
  notes: "'SAME' padding with a stride needs fixed sizes for the gradient",
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const [outputs, inputs, ...kernel] = ctx.shape(1);
    // Weights that are computed may have any size.
    const sized = isStaticShape(kernel) || ctx.node.attributes.ints('kernel_shape') !== undefined;
    const output = sized ? convolutionWindows(ctx, spatial, kernel).output : spatial.map(() => ctx.unknownDim());
    if (differentDims(channels, multiplyDims(inputs, ctx.node.attributes.int('group', 1)))) {
      ctx.fail(`weights ${printShape(ctx.shape(1))} do not fit the ${String(channels)} channels of its input`);
    }
    return [{ dtype: ctx.commonDtype(3), shape: [batch, outputs, ...output] }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, weights, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const kernel = ctx.shape(weights).slice(2);
    const windows = requirePlaced(ctx, convolutionWindows(ctx, ctx.shape(x).slice(2), kernel));
    const channels = requireChannels(ctx, ctx.shape(weights));
    return [
      ctx.needs(0) ? inputGradient(e, { weights, channels, windows, dy, x }) : undefined,
      ctx.needs(1) ? weightGradient(e, { x, channels, windows, dy }) : undefined,
      ctx.needs(2) ? e.reduceSum(dy, [0, ...spatialAxes(windows)]) : undefined,
    ];
  },
};
