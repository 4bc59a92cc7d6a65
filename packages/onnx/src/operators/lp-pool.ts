import type { DefinitionContext } from './operator.js';
import type { Value } from '../graph/value.js';
import { composite } from './composite.js';
import { windowSums } from './window/sums.js';
import { poolWindows, requirePlaced } from './window/windows.js';

/** y = (Σ |x|ᵖ)^(1/p) over each window. */
export const LpPool = composite({
  op: 'LpPool',
  since: 18,
  native: 'float32',
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    return [{ dtype: ctx.dtype(0), shape: [batch, channels, ...poolWindows(ctx, spatial).output] }];
  },
  /** The sum over a window is its mean, padding included, times its size. */
  define(ctx) {
    const { e, node } = ctx;
    const windows = poolWindows(ctx, ctx.shape(ctx.input(0)).slice(2));
    const { kernel, dilations } = windows;
    if (dilations.some((dilation) => dilation !== 1) || node.attributes.int('ceil_mode', 0) === 1) {
      return [root(ctx, windowSums(e, power(ctx), requirePlaced(ctx, windows)))];
    }
    const mean = e.node('AveragePool', [power(ctx)], {
      kernel_shape: kernel,
      strides: node.attributes.ints('strides'),
      pads: node.attributes.ints('pads'),
      auto_pad: node.attributes.string('auto_pad'),
      count_include_pad: 1,
    });
    const size = kernel.reduce((product, length) => product * length, 1);
    return [root(ctx, e.scale(mean, size))];
  },
});

/** |x|ᵖ. */
export function power({ e, node, input }: DefinitionContext): Value {
  const p = node.attributes.int('p', 2);
  const magnitude = e.node('Abs', [input(0)]);
  return p === 1 ? magnitude : e.pow(magnitude, e.scalar(p, magnitude));
}

/** The p-th root of a sum, with a derivative of 0 at 0. */
export function root({ e, node }: DefinitionContext, sum: Value): Value {
  const zero = e.scalar(0, sum);
  const isZero = e.equal(sum, zero);
  const safe = e.where(isZero, e.scalar(1, sum), sum);
  return e.where(isZero, zero, e.pow(safe, e.scalar(1 / node.attributes.int('p', 2), sum)));
}
