import type { Value } from '../graph/value.js';
import type { GradientContext, Operator } from './operator.js';
import { poolWindows, windowExtent } from './window/windows.js';

/**
 * The largest element in each window, and where it lies in the flattened input ("Indices"): the first in row-major
 * order where several are equal. The cotangent of each window goes to that element.
 */
export const MaxPool: Operator = {
  op: 'MaxPool',
  since: 12,
  notes: 'row-major Indices only',
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    const shape = [batch, channels, ...poolWindows(ctx, spatial).output];
    return [
      { dtype: ctx.commonDtype(1), shape },
      { dtype: 'int64', shape },
    ];
  },
  gradient(ctx) {
    if (ctx.node.attributes.int('storage_order', 0) !== 0) {
      return ctx.fail(
        'Indices in column-major order (storage_order 1) are not supported; export it with storage_order 0',
      );
    }
    return [ctx.e.assume(fits(ctx) ? unpool(ctx) : scatter(ctx), ctx.shape(ctx.input(0)))];
  },
};

/**
 * Whether MaxUnpool can put the cotangents back. It only writes, so no element may be chosen by two windows; it wants
 * all windows to lie inside the input, and ONNX Runtime has it for float32 alone.
 */
function fits(ctx: GradientContext): boolean {
  const x = ctx.input(0);
  const windows = poolWindows(ctx, ctx.shape(x).slice(2));
  const { strides, begin, end } = windows;
  return (
    x.dtype === 'float32' &&
    ctx.node.attributes.int('ceil_mode', 0) === 0 &&
    [...begin, ...end].every((pad) => pad === 0) &&
    strides.every((stride, i) => windowExtent(windows, i) <= stride)
  );
}

function unpool(ctx: GradientContext): Value {
  const { e, node } = ctx;
  return e.node('MaxUnpool', [ctx.grad(), ctx.output(1), e.shapeOf(ctx.input(0))], {
    kernel_shape: node.attributes.ints('kernel_shape'),
    strides: node.attributes.ints('strides'),
  });
}

function scatter(ctx: GradientContext): Value {
  const { e } = ctx;
  const x = ctx.input(0);
  const flat = (value: Value) => e.reshape(value, [-1]);
  const zeros = flat(e.zerosLike(x));
  const sums = e.node('ScatterElements', [zeros, flat(ctx.output(1)), flat(ctx.grad())], { axis: 0, reduction: 'add' });
  return e.reshapeLike(sums, x);
}
