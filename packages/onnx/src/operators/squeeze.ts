import { differentDims, isStatic } from '../shape/dim.js';
import { axesFromInput } from './axes.js';
import type { InferContext, Operator } from './operator.js';
import { intsToInput } from './upgrade.js';

/** Removes axes of length 1: those given, or all. */
export const Squeeze: Operator = {
  op: 'Squeeze',
  since: 13,
  shape: 'values',
  infer(ctx) {
    const axes = new Set(squeezedAxes(ctx));
    const shape = ctx.shape(0).filter((_, i) => !axes.has(i));
    return [{ dtype: ctx.dtype(0), shape, contents: ctx.contents(0) }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
  upgrade(ctx) {
    if (ctx.opset < 13) intsToInput(ctx, 'axes', 1);
    return undefined;
  },
};

function squeezedAxes(ctx: InferContext): readonly number[] {
  const shape = ctx.shape(0);
  // ONNX Runtime reads an empty list as no list.
  if (!ctx.has(1) || ctx.staticContents(1)?.length === 0) {
    if (!shape.every(isStatic))
      ctx.fail('without axes, the rank of its result depends on a free dimension; give the axes');
    return shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
  }
  const axes = axesFromInput(ctx, 1, shape.length);
  const long = axes.find((axis) => differentDims(shape[axis], 1));
  if (long !== undefined)
    ctx.fail(`axis ${long} has length ${String(shape[long])}, only axes of length 1 can be removed`);
  return axes;
}
