import type { Value } from '../graph/value.js';
import { dtypeFromCode, isDifferentiable } from '../model/dtype.js';
import { isStatic } from '../shape/dim.js';
import { normalizeAxis } from '../shape/shape.js';
import { composite } from './composite.js';

/**
 * y = (x − zero point) · scale for integers x, the scale being one number, a vector along `axis`, or (from opset 21) of the
 * rank of x with one number for every `block_size` elements along `axis`.
 */
export const DequantizeLinear = composite({
  op: 'DequantizeLinear',
  since: 13,
  native: 'all',
  infer: (ctx) => [{ dtype: ctx.dtype(1), shape: ctx.shape(0) }],
  define(ctx) {
    const { e, node } = ctx;
    const [x, scale] = [ctx.input(0), ctx.input(1)];
    const dtype = scale.dtype ?? 'float32';
    const rank = ctx.shape(x).length;
    const given = node.attributes.int('axis', 1);
    const axis = given < 0 ? given + rank : given;
    const along = (value: typeof x) =>
      ctx.shape(value).length === 0
        ? value
        : e.unsqueeze(
            value,
            Array.from({ length: rank - axis - 1 }, (_, i) => 1 + i),
          );
    const offset = ctx.has(2) ? e.sub(e.cast(x, dtype), along(e.cast(ctx.input(2), dtype))) : e.cast(x, dtype);
    return [e.mul(offset, along(scale))];
  },
  upgrade(ctx) {
    const { node, e } = ctx;
    const { attributes } = node;
    const block = attributes.int('block_size', 0);
    const to = attributes.int('output_dtype', 0);
    attributes.delete('block_size');
    attributes.delete('output_dtype');
    const [x, scale, zero] = node.inputs;
    if (x === undefined || scale === undefined) return ctx.fail('lacks an input');
    if (block === 0 && to === 0) return undefined;
    const dtype = to === 0 ? scale.dtype : dtypeFromCode(to);
    if (dtype === undefined || !isDifferentiable(dtype)) return ctx.fail('has an output of an unknown type');
    if (block === 0) {
      const inputs = zero === undefined ? [x, scale] : [x, scale, zero];
      return [e.cast(e.node('DequantizeLinear', inputs, { axis: attributes.int('axis') }), dtype)];
    }
    const shape = x.shape ?? ctx.fail(`reads '${x.name}', whose rank is unknown`);
    const axis = normalizeAxis(attributes.int('axis', 1), shape.length) ?? ctx.fail('has an axis outside its input');
    const length = shape[axis];
    if (!isStatic(length)) return ctx.fail('has blocks along a free dimension');
    const places = e.int64(Array.from({ length }, (_, i) => Math.floor(i / block)));
    const spread = (value: Value) => e.gather(e.cast(value, dtype), places, axis);
    const numbers = e.cast(x, dtype);
    return [e.mul(zero === undefined ? numbers : e.sub(numbers, spread(zero)), spread(scale))];
  },
});
