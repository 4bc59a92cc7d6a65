import { divideExactly, floorDivideDims, isStatic, lowerBound, productOfDims, type Dim } from '../shape/dim.js';
import { printShape, type Shape } from '../shape/shape.js';
import type { InferContext, Operator } from './operator.js';
import { openShapeFromInput } from './shape-input.js';

/** The same elements in another shape; the cotangent is reshaped back. */
export const Reshape: Operator = {
  op: 'Reshape',
  since: 14,
  shape: 'values',
  infer(ctx) {
    const shape = reshaped(ctx, ctx.shape(0));
    const elements = ctx.flatContents(0);
    const known = shape.length <= 1 ? { contents: elements } : { flatContents: elements };
    return [{ dtype: ctx.dtype(0), shape, ...known }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
};

/** In the shape input, 0 copies the dimension at its place (unless `allowzero`) and -1 takes what is left. */
function reshaped(ctx: InferContext, from: Shape): Shape {
  const target = ctx.contents(1);
  if (target === undefined) return openShapeFromInput(ctx, 1);
  const allowZero = ctx.node.attributes.int('allowzero', 0) === 1;
  // Undefined marks what must be found from the number of elements.
  const dims = target.map((dim, i): Dim | undefined => {
    if (dim === 0 && !allowZero) {
      return i < from.length
        ? from[i]
        : ctx.fail(`0 at place ${i} of the new shape copies a dimension that does not exist`);
    }
    return lowerBound(dim) >= (allowZero ? 0 : 1) ? dim : undefined;
  });
  const known = dims.filter((dim) => dim !== undefined);
  const [have, want] = [productOfDims(from), productOfDims(known)];
  const mismatch = () => ctx.fail(`${printShape(from)} cannot be reshaped to ${printShape(target)}`);
  if (known.length === dims.length) {
    return isStatic(have) && isStatic(want) && have !== want ? mismatch() : known;
  }
  if (known.length < dims.length - 1) return dims.map((dim) => dim ?? ctx.unknownDim());
  if (isStatic(have) && isStatic(want) && (want === 0 || have % want !== 0)) return mismatch();
  // At run time the division leaves no rest.
  const rest = divideExactly(have, want) ?? floorDivideDims(have, want);
  return dims.map((dim) => dim ?? rest);
}
