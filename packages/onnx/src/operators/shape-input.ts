import { isStatic, lowerBound, type Dim } from '../shape/dim.js';
import type { InferContext } from './operator.js';

/**
 * The shape that an int64 input spells out. Where only its length is known, the dimensions are unknown ones; where not
 * even that, the rank of the result cannot be told, which is an error.
 */
export function shapeFromInput(ctx: InferContext, index: number): readonly Dim[] {
  const contents = ctx.contents(index);
  if (contents !== undefined) return contents.map((dim) => (lowerBound(dim) >= 0 ? dim : ctx.unknownDim()));
  const [length] = ctx.shape(index);
  if (!isStatic(length)) {
    return ctx.fail(
      `the rank of its result cannot be known: its shape input '${ctx.input(index).name}' has no fixed length`,
    );
  }
  return Array.from({ length }, () => ctx.unknownDim());
}
