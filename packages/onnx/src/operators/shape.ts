import type { Operator } from '../entry/operator.js';
import { productOfDims } from '../shape/dim.js';

/** The dimensions of a value, from axis `start` to before axis `end`. */
export const Shape: Operator = {
  op: 'Shape',
  since: 15,
  shapeOnly: true,
  infer(ctx) {
    const { attributes } = ctx.node;
    const shape = ctx.shape(0);
    // Array.slice clamps and counts negative axes from the end, exactly as the operator does.
    const contents = shape.slice(attributes.int('start', 0), attributes.int('end', shape.length));
    return [{ dtype: 'int64', shape: [contents.length], contents }];
  },
  gradient: 'none',
};

/** The number of elements of a value. */
export const Size: Operator = {
  op: 'Size',
  since: 13,
  shapeOnly: true,
  infer: (ctx) => [{ dtype: 'int64', shape: [], contents: [productOfDims(ctx.shape(0))] }],
  define: ({ e, input }) => [e.node('ReduceProd', [e.shapeOf(input(0))], { keepdims: 0 })],
  gradient: 'none',
};
