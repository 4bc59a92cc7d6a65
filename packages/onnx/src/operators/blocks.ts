import { divideExactly, floorDivideDims, isStatic, type Dim } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import type { InferContext } from './operator.js';

/** The length of the blocks of DepthToSpace and SpaceToDepth. */
export function blockSize(ctx: InferContext): number {
  return ctx.node.attributes.int('blocksize') ?? ctx.fail("attribute 'blocksize' is missing");
}

/** [batch, channels, height, width]. */
export function imageShape(ctx: InferContext): Shape {
  const shape = ctx.shape(0);
  return shape.length === 4 ? shape : ctx.fail('it works on images [batch, channels, height, width], of rank 4');
}

/** `dim` divided by `divisor`, which must leave no rest. */
export function exactly(ctx: InferContext, dim: Dim, divisor: number): Dim {
  if (isStatic(dim) && dim % divisor !== 0) ctx.fail(`${dim} cannot be divided into blocks of ${divisor}`);
  return divideExactly(dim, divisor) ?? floorDivideDims(dim, divisor);
}
