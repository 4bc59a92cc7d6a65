import type { Contents } from '../graph/value.js';
import { isStaticShape, type Shape } from '../shape/shape.js';
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
    return [
      {
        dtype: ctx.commonDtype(1),
        shape: perm.map((axis) => shape[axis]),
        contents: ctx.contents(0),
        flatContents: rearranged(ctx.flatContents(0), shape, perm),
      },
    ];
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

/** The elements of a small tensor of two axes and more in their new order. */
function rearranged(elements: Contents | undefined, shape: Shape, perm: readonly number[]): Contents | undefined {
  if (elements === undefined || shape.length < 2 || !isStaticShape(shape)) return undefined;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, dim) => product * dim, 1));
  const places = perm.reduce(
    (starts: readonly number[], axis) =>
      starts.flatMap((start) => Array.from({ length: shape[axis] }, (_, i) => start + i * strides[axis])),
    [0],
  );
  return places.map((place) => elements[place]);
}
