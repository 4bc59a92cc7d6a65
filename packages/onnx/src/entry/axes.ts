import type { InferContext } from './operator.js';

/** The axes that an int64 input lists, counted from the front and in ascending order; they must be known. */
export function axesFromInput(ctx: InferContext, index: number, rank: number): readonly number[] {
  const axes = ctx.staticContents(index);
  if (axes === undefined) {
    return ctx.fail(`the rank of its result cannot be known: its axes '${ctx.input(index).name}' are not constant`);
  }
  return normalizeAxes(ctx, axes, rank);
}

/** As {@link axesFromInput}, for axes already at hand. */
function normalizeAxes(ctx: InferContext, axes: readonly number[], rank: number): readonly number[] {
  const normal = axes.map((axis) => ctx.axis(axis, rank));
  if (new Set(normal).size < normal.length) ctx.fail(`its axes [${axes.join(', ')}] name one axis twice`);
  return normal.sort((a, b) => a - b);
}
