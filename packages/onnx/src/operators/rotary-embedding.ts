import { isStatic } from '../shape/dim.js';
import { composite, likeInput } from './composite.js';

/**
 * Turns pairs of features by an angle that grows with the position (J. Su et al., RoFormer, 2021):
 * (a, b) becomes (a cos − b sin, a sin + b cos). Pairs are halves of the head or, `interleaved`, neighbours.
 */
export const RotaryEmbedding = composite({
  op: 'RotaryEmbedding',
  since: 23,
  native: 'none',
  infer: likeInput,
  define(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const flat = ctx.shape(x).length === 3;
    const heads = node.attributes.int('num_heads', 0);
    if (flat && heads === 0) ctx.fail("attribute 'num_heads' is missing for an input of rank 3");
    // [batch, time, heads, width]
    const byHead = flat ? e.reshape(x, [0, 0, heads, -1]) : e.transpose(x, [0, 2, 1, 3]);
    const width = ctx.shape(byHead)[3];
    if (!isStatic(width)) return ctx.fail('the width of its heads is free; export the model with a fixed one');
    const turned = node.attributes.int('rotary_embedding_dim', 0) || width;
    const part = (from: number, to: number, step = 1) =>
      e.slice(byHead, { starts: [from], ends: [to], axes: [3], ...(step === 1 ? {} : { steps: [step] }) });
    const interleaved = node.attributes.int('interleaved', 0) === 1;
    const [a, b] = interleaved
      ? [part(0, turned, 2), part(1, turned, 2)]
      : [part(0, turned / 2), part(turned / 2, turned)];
    const [cos, sin] = [ctx.input(1), ctx.input(2)].map((cache) =>
      e.unsqueeze(ctx.has(3) ? e.gather(cache, ctx.input(3)) : cache, [2]),
    );
    const pair = [e.sub(e.mul(a, cos), e.mul(b, sin)), e.add(e.mul(a, sin), e.mul(b, cos))];
    const rotated = interleaved
      ? e.reshape(
          e.concat(
            pair.map((half) => e.unsqueeze(half, [4])),
            4,
          ),
          [0, 0, 0, turned],
        )
      : e.concat(pair, 3);
    const whole = turned === width ? rotated : e.concat([rotated, part(turned, width)], 3);
    return [flat ? e.reshapeLike(whole, x) : e.transpose(whole, [0, 2, 1, 3])];
  },
});
