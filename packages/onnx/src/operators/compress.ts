import type { Operator } from './operator.js';

/** The slices along an axis (or elements, without one) where a condition holds; the cotangent goes back there. */
export const Compress: Operator = {
  op: 'Compress',
  since: 11,
  shape: 'data',
  infer(ctx) {
    const axis = ctx.node.attributes.int('axis');
    const count = ctx.unknownDim(0);
    if (axis === undefined) return [{ dtype: ctx.dtype(0), shape: [count] }];
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0).with(ctx.axis(axis, ctx.rank(0)), count) }];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const [x, condition] = [ctx.input(0), ctx.input(1)];
    const axis = node.attributes.int('axis');
    const places = e.squeeze(e.node('NonZero', [condition]), [0]);
    const flat = axis === undefined;
    const target = flat ? e.reshape(e.zerosLike(x), [-1]) : e.zerosLike(x);
    const rank = flat ? 1 : ctx.shape(x).length;
    const along = flat || axis >= 0 ? (axis ?? 0) : axis + rank;
    const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== along);
    const indices = e.node('Expand', [e.unsqueeze(places, others), e.shapeOf(ctx.grad())]);
    return [e.reshapeLike(e.node('ScatterElements', [target, indices, ctx.grad()], { axis: along }), x)];
  },
};
