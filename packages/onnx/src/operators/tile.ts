import { isStatic, multiplyDims } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import type { Operator } from './operator.js';

/** Repeats the tensor `repeats[i]` times along every axis i; the cotangents of all copies add up. */
export const Tile: Operator = {
  op: 'Tile',
  since: 13,
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const repeats = ctx.contents(1);
    if (repeats !== undefined && repeats.length !== shape.length) {
      ctx.fail(`it has ${repeats.length} repeats for a tensor of rank ${shape.length}`);
    }
    return [
      {
        dtype: ctx.dtype(0),
        shape: shape.map((dim, i) => (repeats === undefined ? ctx.unknownDim(0) : multiplyDims(dim, repeats[i]))),
      },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, repeats, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const shape = ctx.shape(x);
    if (shape.length === 0) return [dy];
    const known = repeats.contents;
    // [r₀, n₀, r₁, n₁, …]: the copies lie along the even axes.
    const pairs =
      known?.every(isStatic) === true && isStaticShape(shape)
        ? e.int64(shape.flatMap((dim, i) => [known[i], dim]))
        : e.reshape(e.concat([e.unsqueeze(repeats, [1]), e.unsqueeze(e.shapeOf(x), [1])], 1), [-1]);
    const copies = e.node('Reshape', [dy, pairs], { allowzero: 1 });
    const sum = e.reduceSum(
      copies,
      shape.map((_, i) => 2 * i),
    );
    return [e.assume(sum, shape)];
  },
};
