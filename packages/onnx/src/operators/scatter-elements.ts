import type { Operator } from './operator.js';
import { scatterReduction } from './scatter-reduction.js';

/**
 * A copy of the data with the elements of `updates` written to (or added at) the places along one axis that `indices`
 * name. The cotangent of the updates is picked from those places; data that is overwritten gets none.
 */
export const ScatterElements: Operator = {
  op: 'ScatterElements',
  since: 18,
  notes: 'gradient of reductions none and add',
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', 0), ctx.rank(0));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [indices, updates, dy] = [ctx.input(1), ctx.input(2), ctx.grad()];
    const axis = ctx.node.attributes.int('axis', 0);
    const reduction = scatterReduction(ctx);
    const overwritten = () => e.node('ScatterElements', [dy, indices, e.zerosLike(updates)], { axis });
    return [
      ctx.needs(0) ? (reduction === 'add' ? dy : overwritten()) : undefined,
      undefined,
      ctx.needs(2) ? e.node('GatherElements', [dy, indices], { axis }) : undefined,
    ];
  },
};
