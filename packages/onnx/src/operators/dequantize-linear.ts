import { composite } from './composite.js';

/** y = (x − zero point) · scale for integers x, the scale being one number or a vector along `axis`. */
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
});
