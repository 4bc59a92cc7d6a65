import { composite, likeInput } from './composite.js';

/** Large enough to mean "to the end" in a slice. */
const END = Number.MAX_SAFE_INTEGER;

/** y = x / (bias + α / size · Σ x²)^β, the sum over the `size` channels around each. */
export const LRN = composite({
  op: 'LRN',
  since: 13,
  native: 'float32',
  infer: likeInput,
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const { attributes } = ctx.node;
    const size = attributes.int('size') ?? ctx.fail("attribute 'size' is missing");
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const others = ctx.shape(x).map(() => 0);
    const pads = e.int64([...others.with(1, before), ...others.with(1, after)]);
    const padded = e.node('Pad', [e.square(x), pads]);
    const shifted = Array.from({ length: size }, (_, k) =>
      e.slice(padded, { starts: [k], ends: [k === size - 1 ? END : k + 1 - size], axes: [1] }),
    );
    const sum = e.assume(
      shifted.reduce((a, b) => e.add(a, b)),
      ctx.shape(x),
    );
    const scaled = e.scale(sum, attributes.float('alpha', 0.0001) / size);
    const base = e.add(scaled, e.scalar(attributes.float('bias', 1), x));
    return [e.div(x, e.pow(base, e.scalar(attributes.float('beta', 0.75), x)))];
  },
});
