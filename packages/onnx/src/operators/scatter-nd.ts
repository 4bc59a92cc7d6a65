import type { Operator } from './operator.js';
import { scatterReduction } from './scatter-reduction.js';

/**
 * A copy of the data with slices of `updates` written to (or added at) the places that `indices` name by their first
 * coordinates. The cotangent of the updates is picked from those places; data that is overwritten gets none.
 */
export const ScatterND: Operator = {
  op: 'ScatterND',
  since: 18,
  notes: 'gradient of reductions none and add',
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }],
  gradient(ctx) {
    const { e } = ctx;
    const [indices, updates, dy] = [ctx.input(1), ctx.input(2), ctx.grad()];
    const reduction = scatterReduction(ctx);
    const overwritten = () => e.node('ScatterND', [dy, indices, e.zerosLike(updates)]);
    return [
      ctx.needs(0) ? (reduction === 'add' ? dy : overwritten()) : undefined,
      undefined,
      ctx.needs(2) ? e.node('GatherND', [dy, indices]) : undefined,
    ];
  },
};
