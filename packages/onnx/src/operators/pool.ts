import { elementCount } from '@adakit/core';
import { countAtRunTime } from '../entry/count.js';
import { composite } from '../entry/composite.js';
import type { DefinitionContext, InferContext, Operator, UpgradeContext } from '../entry/operator.js';
import { shapeFromInput } from '../entry/shape-input.js';
import { axesFrom } from '../entry/standardize.js';
import { padForCeil } from '../entry/window/idle-windows.js';
import { windowSums } from '../entry/window/sums.js';
import { maxPoolGradient } from '../entry/window/canonical.js';
import { poolWindows, requirePlaced } from '../entry/window/windows.js';
import type { Value } from '../graph/value.js';
import { addDims, isStatic, multiplyDims, productOfDims, subtractDims } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';

/**
 * The largest element in each window, and where it lies in the flattened input ("Indices", counted in column-major order
 * with storage_order 1): the first in row-major order where several are equal. The cotangent of each window goes to that element.
 */
export const MaxPool: Operator = {
  op: 'MaxPool',
  since: 12,
  followsHead: true,
  upgrade: padForCeil,
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const shape = [batch, channels, ...poolWindows(ctx, spatial).output];
    return [
      { dtype: ctx.commonDtype(1), shape },
      { dtype: 'int64', shape },
    ];
  },
  gradient: (ctx) => [maxPoolGradient(ctx, ctx.input(0), ctx.output(), ctx.grad())],
};

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

/** y = (Σ |x|ᵖ)^(1/p) over each window. */
export const LpPool = composite({
  op: 'LpPool',
  since: 18,
  early: [{ before: 2, upgrade: integerOrder }],
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
    const size = elementCount(kernel);
    return [root(ctx, e.scale(mean, size))];
  },
});

/** |x|ᵖ. */
function power({ e, node, input }: DefinitionContext): Value {
  const p = node.attributes.int('p', 2);
  const magnitude = e.node('Abs', [input(0)]);
  return p === 1 ? magnitude : e.pow(magnitude, e.scalar(p, magnitude));
}

/** The p-th root of a sum, with a derivative of 0 at 0. */
function root({ e, node }: DefinitionContext, sum: Value): Value {
  const zero = e.scalar(0, sum);
  const isZero = e.equal(sum, zero);
  const safe = e.where(isZero, e.scalar(1, sum), sum);
  return e.where(isZero, zero, e.pow(safe, e.scalar(1 / node.attributes.int('p', 2), sum)));
}

/**
 * The maximum over all spatial axes, which stay as axes of length 1. The cotangent goes to the element that is the
 * maximum, the first one where several are, as in MaxPool and in PyTorch.
 */
export const GlobalMaxPool: Operator = {
  op: 'GlobalMaxPool',
  since: 1,
  mixes: true,
  followsHead: true,
  infer: (ctx) => [{ dtype: ctx.commonDtype(1), shape: globalPoolShape(ctx) }],
  gradient(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const flat = e.reshape(x, [0, 0, -1]);
    const first = e.node('ArgMax', [flat], { axis: 2, keepdims: 1 });
    const dy = e.reshape(ctx.grad(), [0, 0, -1]);
    return [e.reshapeLike(e.node('ScatterElements', [e.zerosLike(flat), first, dy], { axis: 2 }), x)];
  },
};

/** The mean over all spatial axes, which stay as axes of length 1; y′ = 1 / n with n the number of positions. */
export const GlobalAveragePool: Operator = {
  op: 'GlobalAveragePool',
  since: 1,
  mixes: true,
  followsHead: true,
  infer: (ctx) => [{ dtype: ctx.commonDtype(1), shape: globalPoolShape(ctx) }],
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const count = productOfDims(ctx.shape(x).slice(2));
    const share = isStatic(count) ? e.scale(dy, 1 / count) : e.div(dy, countAtRunTime(ctx, x, dy));
    return [e.expandLike(share, x)];
  },
};

/** y = (Σ |x|ᵖ)^(1/p) over all spatial axes, which stay as axes of length 1. */
export const GlobalLpPool = composite({
  op: 'GlobalLpPool',
  since: 2,
  mixes: true,
  early: [{ before: 2, upgrade: integerOrder }],
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: globalPoolShape(ctx) }],
  define(ctx) {
    const axes = axesFrom(2, ctx.shape(ctx.input(0)).length);
    return [root(ctx, ctx.e.reduceSum(power(ctx), axes, { keepdims: true }))];
  },
});

/** p was a float. */
function integerOrder({ node }: UpgradeContext): void {
  const p = node.attributes.float('p');
  if (p !== undefined) node.attributes.set('p', Math.round(p));
}

/** The shape of a pool over everything: each spatial axis has length 1. */
function globalPoolShape(ctx: InferContext): Shape {
  const shape = ctx.shape(0);
  if (shape.length < 3) ctx.fail('it works on values of rank 3 and above: [batch, channels, …spatial]');
  return shape.map((dim, i) => (i < 2 ? dim : 1));
}
