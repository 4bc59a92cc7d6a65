import type { Value } from '../graph/value.js';
import type { DefinitionContext, GradientContext, Operator } from './operator.js';
import { axesFrom, mean, standardize } from './normalization.js';

/**
 * y = scale · x̂ + bias with x̂ = (x − E x) / √(Var x + ε), over the axes from `axis` to the last.
 * With g = dy · scale and r = 1 / √(Var x + ε): dx = r (g − E g − x̂ E[g x̂]).
 */
export const LayerNormalization: Operator = {
  op: 'LayerNormalization',
  since: 17,
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), shape.length);
    const reduced = { dtype: 'float32' as const, shape: shape.map((dim, i) => (i < axis ? dim : 1)) };
    return [{ dtype: ctx.dtype(0), shape }, reduced, reduced];
  },
  gradient(ctx) {
    if (ctx.hasGrad(1) || ctx.hasGrad(2)) return ctx.pullback(definition);
    const { e } = ctx;
    const [x, scale, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const axes = normalizedAxes(ctx);
    const { standardized, inverse } = statistics(ctx, axes);
    const g = e.mul(dy, scale);
    const centered = e.sub(g, mean(e, g, axes));
    const dx = () => e.mul(inverse, e.sub(centered, e.mul(standardized, mean(e, e.mul(g, standardized), axes))));
    return [
      ctx.needs(0) ? e.assume(dx(), ctx.shape(x)) : undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.mul(dy, standardized), 1) : undefined,
      ctx.needs(2) ? ctx.unbroadcast(dy, 2) : undefined,
    ];
  },
};

function normalizedAxes(ctx: DefinitionContext): readonly number[] {
  const rank = ctx.shape(ctx.input(0)).length;
  const axis = ctx.node.attributes.int('axis', -1);
  return axesFrom(axis < 0 ? axis + rank : axis, rank);
}

/** x̂ and r, from what the forward node found where that is as exact as x. */
function statistics(ctx: GradientContext, axes: readonly number[]): { standardized: Value; inverse: Value } {
  const { e } = ctx;
  const x = ctx.input(0);
  if (x.dtype === 'float32') {
    const inverse = ctx.output(2);
    return { standardized: e.mul(e.sub(x, ctx.output(1)), inverse), inverse };
  }
  return standardize(e, x, axes, epsilonOf(ctx));
}

function definition(ctx: DefinitionContext): readonly Value[] {
  const { e } = ctx;
  const x = ctx.input(0);
  const found = standardize(e, x, normalizedAxes(ctx), epsilonOf(ctx));
  const scaled = e.mul(found.standardized, ctx.input(1));
  return [
    ctx.has(2) ? e.add(scaled, ctx.input(2)) : scaled,
    e.cast(found.mean, 'float32'),
    e.cast(found.inverse, 'float32'),
  ];
}

function epsilonOf({ node }: DefinitionContext): number {
  return node.attributes.float('epsilon', 1e-5);
}
