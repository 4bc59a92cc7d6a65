import type { Operator } from './operator.js';

/** The dimensions of a value, from axis `start` to before axis `end`. */
export const Shape: Operator = {
  op: 'Shape',
  since: 15,
  infer(ctx) {
    const { attributes } = ctx.node;
    const shape = ctx.shape(0);
    // Array.slice clamps and counts negative axes from the end, exactly as the operator does.
    const contents = shape.slice(attributes.int('start', 0), attributes.int('end', shape.length));
    return [{ dtype: 'int64', shape: [contents.length], contents }];
  },
  gradient: 'none',
};
