import { MAX_CONTENTS } from '../shape/shape.js';
import { isStatic } from '../shape/dim.js';
import type { InferContext, Operator } from './operator.js';

/** Slices along one axis picked by indices (negative ones count from the end); the axis is replaced by theirs. */
export const Gather: Operator = {
  op: 'Gather',
  since: 13,
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', 0), shape.length);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [...shape.slice(0, axis), ...ctx.shape(1), ...shape.slice(axis + 1)],
        contents: gathered(ctx),
      },
    ];
  },
  /**
   * Adds each slice of dy to where it was taken from. ScatterElements, although it wants an index for every element:
   * ONNX Runtime's ScatterND adds from several threads at once and loses additions when an index repeats.
   */
  gradient(ctx) {
    const { e } = ctx;
    const [x, indices] = [ctx.input(0), ctx.input(1)];
    const rank = ctx.shape(x).length;
    const given = ctx.node.attributes.int('axis', 0);
    const axis = given < 0 ? given + rank : given;
    // One index axis, so that dy has the rank of x.
    const flat = e.reshape(indices, [-1]);
    const outer = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
    const column = e.unsqueeze(flat, outer);
    const shape = ctx.shape(x).with(axis, ctx.shape(flat)[0]);
    const lengths = outer.length === 0 ? [] : [e.shapeOf(x)];
    const pieces = [
      ...lengths.map((all) => piece(all, 0, axis)),
      e.shapeOf(flat),
      ...lengths.map((all) => piece(all, axis + 1, rank)),
    ];
    const target = shape.every(isStatic)
      ? e.int64(shape)
      : e.concat(
          pieces.filter((part) => part !== undefined),
          0,
        );
    const updates = ctx.shape(indices).length === 1 ? ctx.grad() : e.reshape(ctx.grad(), target);
    const spread = e.node('Expand', [column, target]);
    const zeros = e.zerosLike(x);
    const dx = e.node('ScatterElements', [zeros, spread, updates], { axis, reduction: 'add' });
    return [e.assume(dx, ctx.shape(x)), undefined];

    function piece(all: typeof x, from: number, to: number) {
      return from < to ? e.slice(all, { starts: [from], ends: [to], axes: [0] }) : undefined;
    }
  },
};

/** The picked elements of a known vector. */
function gathered(ctx: InferContext) {
  const [contents, indices] = [ctx.contents(0), ctx.staticContents(1)];
  if (contents === undefined || indices === undefined || ctx.rank(0) !== 1 || indices.length > MAX_CONTENTS)
    return undefined;
  return indices.map((index) => contents[ctx.axis(index, contents.length)]);
}
