import type { Value } from '../graph/value.js';
import { divideExactly, isStatic, productOfDims, type Dim } from '../shape/dim.js';
import type { DefinitionContext } from './operator.js';

/** What a count is written with. */
type CountContext = Pick<DefinitionContext, 'e' | 'shape'>;

/** How many elements `x` has for each one of `per`, where the shapes tell. */
export function knownCount(ctx: Pick<CountContext, 'shape'>, x: Value, per: Value): number | undefined {
  const count = symbolicCount(ctx, x, per);
  return count !== undefined && isStatic(count) ? count : undefined;
}

/**
 * The same when the graph runs, in the dtype of `x`. Where it is so many times a size of an input of the graph, it is computed
 * from that: once for all values with as many, a normalization after each layer say.
 */
export function countAtRunTime(ctx: CountContext, x: Value, per: Value): Value {
  const { e } = ctx;
  const count = countOfSize(ctx, x, per) ?? e.div(e.node('Size', [x]), e.node('Size', [per]));
  return e.cast(count, x.dtype ?? 'float32');
}

function symbolicCount({ shape }: Pick<CountContext, 'shape'>, x: Value, per: Value): Dim | undefined {
  return divideExactly(productOfDims(shape(x)), productOfDims(shape(per)));
}

function countOfSize(ctx: CountContext, x: Value, per: Value): Value | undefined {
  const { e } = ctx;
  const count = symbolicCount(ctx, x, per);
  // Inside a body inputs are one step's, or are not fed.
  if (count === undefined || e.graph.outer !== undefined) return undefined;
  for (const input of e.graph.inputs) {
    for (const [axis, dim] of (input.shape ?? []).entries()) {
      if (isStatic(dim)) continue;
      const times = divideExactly(count, dim);
      if (times === undefined || !isStatic(times)) continue;
      const size = e.squeeze(e.node('Shape', [input], { start: axis, end: axis + 1 }), [0]);
      return times === 1 ? size : e.mul(size, e.scalar(times, 'int64'));
    }
  }
  return undefined;
}

/** dy divided by how many elements `x` has for each of its own. */
export function dividedByCount(ctx: DefinitionContext, dy: Value, x: Value, per: Value): Value {
  const count = knownCount(ctx, x, per);
  return count === undefined ? ctx.e.div(dy, countAtRunTime(ctx, x, per)) : ctx.e.scale(dy, 1 / count);
}
