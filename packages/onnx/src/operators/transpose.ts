import type { Operator } from './operator.js';

/** Permutes the axes: y's axis i is x's axis perm[i]. The cotangent goes through the inverse permutation. */
export const Transpose: Operator = {
  op: 'Transpose',
  since: 13,
  infer(ctx) {
    const shape = ctx.shape(0);
    const perm = ctx.node.attributes.ints('perm', shape.map((_, i) => i).reverse());
    if (perm.length !== shape.length || new Set(perm.map((axis) => ctx.axis(axis, shape.length))).size < perm.length) {
      ctx.fail(`perm [${perm.join(', ')}] is no permutation of the ${shape.length} axes`);
    }
    return [{ dtype: ctx.dtype(0), shape: perm.map((axis) => shape[axis]), contents: ctx.contents(0) }];
  },
  gradient(ctx) {
    const perm = ctx.node.attributes.ints('perm');
    return [
      ctx.e.transpose(
        ctx.grad(),
        perm?.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
};
