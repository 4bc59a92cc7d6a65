import { ceilDivideDims, isStatic, subtractDims, multiplyDims, type Dim } from '../shape/dim.js';
import type { Operator } from './operator.js';
import { intsToInput } from './upgrade.js';

/** Cuts a value along one axis into pieces of given sizes, or into `num_outputs` equal ones (the last may be smaller). */
export const Split: Operator = {
  op: 'Split',
  since: 18,
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', 0), shape.length);
    const count = ctx.node.outputs.length;
    const sizes = ctx.has(1) ? ctx.contents(1) : undefined;
    if (sizes !== undefined && sizes.length !== count) ctx.fail(`${sizes.length} sizes are given for ${count} outputs`);
    const piece = ceilDivideDims(shape[axis], count);
    const lengths = Array.from({ length: count }, (_, i): Dim => {
      const equal = i < count - 1 ? piece : subtractDims(shape[axis], multiplyDims(piece, count - 1));
      return ctx.has(1) ? (sizes?.[i] ?? ctx.unknownDim(0)) : equal;
    });
    // Pieces of a known vector are known: tf2onnx reorders the pads of a convolution so.
    const contents = shape.length === 1 && lengths.every(isStatic) ? ctx.contents(0) : undefined;
    let start = 0;
    return lengths.map((length) => {
      const piece = { dtype: ctx.dtype(0), shape: shape.map((dim, j) => (j === axis ? length : dim)) };
      if (contents === undefined || !isStatic(length)) return piece;
      start += length;
      return { ...piece, contents: contents.slice(start - length, start) };
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
