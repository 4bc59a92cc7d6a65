import { ceilDivideDims, subtractDims, multiplyDims } from '../shape/dim.js';
import type { Operator } from './operator.js';
import { intsToInput } from './upgrade.js';

/** Cuts a value along one axis into pieces of given sizes, or into `num_outputs` equal ones (the last may be smaller). */
export const Split: Operator = {
  op: 'Split',
  since: 18,
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', 0), shape.length);
    const count = ctx.node.outputs.length;
    const sizes = ctx.has(1) ? ctx.contents(1) : undefined;
    if (sizes !== undefined && sizes.length !== count) ctx.fail(`${sizes.length} sizes are given for ${count} outputs`);
    const piece = ceilDivideDims(shape[axis], count);
    return Array.from({ length: count }, (_, i) => {
      const equal = i < count - 1 ? piece : subtractDims(shape[axis], multiplyDims(piece, count - 1));
      const length = ctx.has(1) ? (sizes?.[i] ?? ctx.unknownDim(0)) : equal;
      return { dtype: ctx.dtype(0), shape: shape.map((dim, j) => (j === axis ? length : dim)) };
    });
  },
  gradient(ctx) {
    const parts = ctx.node.outputs.map((_, i) => ctx.grad(i));
    return [ctx.e.assume(ctx.e.concat(parts, ctx.node.attributes.int('axis', 0)), ctx.shape(ctx.input(0)))];
  },
  upgrade(ctx) {
    const { node, opset } = ctx;
    if (opset < 13) intsToInput(ctx, 'split', 1);
    if (opset < 18 && node.inputs[1] === undefined) node.attributes.set('num_outputs', node.outputs.length);
    return undefined;
  },
};
