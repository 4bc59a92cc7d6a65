import type { Value } from '../graph/value.js';
import { divideExactly, isStatic, productOfDims } from '../shape/dim.js';
import type { DefinitionContext } from './operator.js';

/** How many elements `x` has for each one of `per`, where the shapes tell. */
export function knownCount({ shape }: DefinitionContext, x: Value, per: Value): number | undefined {
  const count = divideExactly(productOfDims(shape(x)), productOfDims(shape(per)));
  return count !== undefined && isStatic(count) ? count : undefined;
}

/** The same when the graph runs, in the dtype of `x`. */
export function countAtRunTime({ e }: DefinitionContext, x: Value, per: Value): Value {
  return e.cast(e.div(e.node('Size', [x]), e.node('Size', [per])), x.dtype ?? 'float32');
}

/** dy divided by how many elements `x` has for each of its own. */
export function dividedByCount(ctx: DefinitionContext, dy: Value, x: Value, per: Value): Value {
  const count = knownCount(ctx, x, per);
  return count === undefined ? ctx.e.div(dy, countAtRunTime(ctx, x, per)) : ctx.e.scale(dy, 1 / count);
}
