import { isStatic, lowerBound, type Dim } from '../shape/dim.js';
import type { InferContext } from './operator.js';

/**
 * The shape that an int64 input spells out. Where only its length is known, the dimensions are unknown ones; where not
 * even that, the rank of the result cannot be told, which is an error.
 */
export function shapeFromInput(ctx: InferContext, index: number): readonly Dim[] {
  const contents = ctx.contents(index);
  if (contents !== undefined) return contents.map((dim) => (lowerBound(dim) >= 0 ? dim : ctx.unknownDim()));
  return openShapeFromInput(ctx, index);
}

/** ONNX sets no limit; numpy's and PyTorch's is 64. */
const MAX_RANK = 64;

/** A shape of which only the rank is known, as the length of the int64 input that spells it out. */
export function openShapeFromInput(ctx: InferContext, index: number): readonly Dim[] {
  const [length] = ctx.shape(index);
  const name = ctx.input(index).name;
  if (!isStatic(length)) {
    return ctx.fail(`the rank of its result cannot be known: its shape input '${name}' has no fixed length`);
  }
  if (length > MAX_RANK) ctx.fail(`its shape input '${name}' lists ${length} dimensions; no tensor has more than 64`);
  return Array.from({ length }, () => ctx.unknownDim());
}
