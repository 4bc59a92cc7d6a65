import { composite, likeInput } from '../entry/composite.js';
import type { DefinitionContext, InferContext } from '../entry/operator.js';
import { ADDED, DATA, INDICES, role } from '../entry/role.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { addDims, type Dim, divideExactly, isStatic, multiplyDims } from '../shape/dim.js';

const PAST = role('aside', 'what values are written into');
const CACHE = role('aside', 'a cache of rotations');

/**
 * softmax(√s Q (√s K)ᵀ + mask) V for every head (A. Vaswani et al., 2017, with s = 1/√d unless told), on values
 * [batch, heads, time, d] or [batch, time, heads · d]. Where there are fewer heads of K and V, neighbours share them.
 */
export const Attention = composite({
  op: 'Attention',
  since: 23,
  roles: [DATA, DATA, DATA, ADDED, PAST, PAST],
  mixes: true,
  notes: 'no windows; lengths of the keys not together with is_causal',
  infer(ctx) {
    const [q, k, v] = [ctx.shape(0), ctx.shape(1), ctx.shape(2)];
    const dtype = ctx.dtype(0);
    /** With what the past has of them. */
    const total = (length: Dim, past: number) => (ctx.has(past) ? addDims(ctx.shape(past)[2], length) : length);
    if (q.length === 4) {
      return [
        { dtype, shape: [q[0], q[1], q[2], v[3]] },
        { dtype: ctx.dtype(1), shape: k.with(2, total(k[2], 4)) },
        { dtype: ctx.dtype(2), shape: v.with(2, total(v[2], 5)) },
        { dtype, shape: [q[0], q[1], q[2], total(k[2], 4)] },
      ];
    }
    const { heads, sharedHeads } = headCounts(ctx);
    const width = (dim: Dim) =>
      divideExactly(dim, sharedHeads) ?? ctx.fail(`${String(dim)} is no ${sharedHeads} heads`);
    return [
      { dtype, shape: [q[0], q[1], multiplyDims(width(v[2]), heads)] },
      { dtype: ctx.dtype(1), shape: [k[0], sharedHeads, total(k[1], 4), width(k[2])] },
      { dtype: ctx.dtype(2), shape: [v[0], sharedHeads, total(v[1], 5), width(v[2])] },
      { dtype, shape: [q[0], heads, q[1], total(k[1], 4)] },
    ];
  },
  define(ctx) {
    const { e, node } = ctx;
    for (const name of ['left_window_size', 'right_window_size']) {
      if (node.attributes.int(name, -1) >= 0) ctx.fail(`its ${name} is not supported; write the window into its mask`);
    }
    if (ctx.has(6) && node.attributes.int('is_causal', 0) !== 0) {
      ctx.fail('lengths of the keys together with is_causal are not supported; write both into its mask');
    }
    const flat = ctx.shape(ctx.input(0)).length === 3;
    const byHead = (value: Value, count: number) =>
      flat ? e.transpose(e.reshape(value, [0, 0, count, -1]), [0, 2, 1, 3]) : value;
    const { heads, sharedHeads } = flat ? headCounts(ctx) : headsOf(ctx);
    const query = byHead(ctx.input(0), heads);
    const withPast = (now: Value, past: number) => (ctx.has(past) ? e.concat([ctx.input(past), now], 2) : now);
    const key = withPast(byHead(ctx.input(1), sharedHeads), 4);
    const value = withPast(byHead(ctx.input(2), sharedHeads), 5);
    const depth = ctx.shape(query)[3];
    if (!isStatic(depth)) return ctx.fail('the width of its heads is free; export the model with a fixed one');
    const scale = Math.sqrt(node.attributes.float('scale', 1 / Math.sqrt(depth)));
    const share = (x: Value) => repeatHeads(ctx, x, heads / sharedHeads);
    const scores = e.matMul(e.scale(query, scale), e.matrixTranspose(e.scale(share(key), scale)));
    const softcap = node.attributes.float('softcap', 0);
    const capped = softcap === 0 ? scores : e.scale(e.node('Tanh', [e.scale(scores, 1 / softcap)]), softcap);
    const allowed = masked(ctx, capped);
    const weights = e.node('Softmax', [allowed], { axis: -1 });
    const mixed = e.matMul(weights, share(value));
    const result = flat ? e.reshape(e.transpose(mixed, [0, 2, 1, 3]), [0, 0, -1]) : mixed;
    return [result, key, value, [scores, capped, allowed, weights][node.attributes.int('qk_matmul_output_mode', 0)]];
  },
});

function headCounts({ node, fail }: Pick<InferContext, 'node' | 'fail'>): { heads: number; sharedHeads: number } {
  const heads = node.attributes.int('q_num_heads') ?? fail("attribute 'q_num_heads' is missing for inputs of rank 3");
  return { heads, sharedHeads: node.attributes.int('kv_num_heads', heads) };
}

function headsOf(ctx: DefinitionContext): { heads: number; sharedHeads: number } {
  const [heads, sharedHeads] = [0, 1].map((i) => ctx.shape(ctx.input(i))[1]);
  if (!isStatic(heads) || !isStatic(sharedHeads))
    return ctx.fail('its number of heads is free; export it with a fixed one');
  return { heads, sharedHeads };
}

/** Every head `count` times in a row. */
function repeatHeads(ctx: DefinitionContext, x: Value, count: number): Value {
  if (count === 1) return x;
  const { e } = ctx;
  const [, heads, , depth] = ctx.shape(x);
  if (!isStatic(heads) || !isStatic(depth)) return ctx.fail('the width of its heads is free');
  const copies = e.node('Expand', [e.unsqueeze(x, [2]), e.int64([1, 1, count, 1, 1])]);
  return e.reshape(copies, [0, heads * count, -1, depth]);
}

/** Scores [batch, heads, query, key] with the mask (true lets through; floats are added) and the past only. */
function masked(ctx: DefinitionContext, scores: Value): Value {
  const { e, node } = ctx;
  const never = e.scalar(-Infinity, scores);
  const mask = ctx.has(3) ? ctx.input(3) : undefined;
  const seen = mask === undefined ? scores : mask.dtype === 'bool' ? e.where(mask, scores, never) : e.add(scores, mask);
  const allowed = ctx.has(6) ? e.where(withinLengths(e, scores, ctx.input(6)), seen, never) : seen;
  if (node.attributes.int('is_causal', 0) === 0) return allowed;
  return e.where(causal(e, scores, ctx.has(4) ? ctx.input(4) : undefined), allowed, never);
}

/** [batch, 1, 1, key], true for the first keys of each sample, as many as `lengths` says. */
function withinLengths(e: Emitter, scores: Value, lengths: Value): Value {
  const count = e.squeeze(e.node('Shape', [scores], { start: -1 }), [0]);
  const numbers = e.node('Range', [e.scalar(0, 'int64'), count, e.scalar(1, 'int64')]);
  return e.less(numbers, e.unsqueeze(lengths, [1, 2, 3]));
}

/** [query, key], true where the key is not later than the query, which comes after the past. */
function causal(e: Emitter, scores: Value, past: Value | undefined): Value {
  const size = e.node('Shape', [scores], { start: -2 });
  const ones = e.node('Expand', [e.scalar(1, scores), size]);
  const before = past === undefined ? [] : [e.squeeze(e.node('Shape', [past], { start: 2, end: 3 }), [0])];
  return e.greater(e.node('Trilu', [ones, ...before], { upper: 0 }), e.scalar(0, scores));
}

/**
 * Turns pairs of features by an angle that grows with the position (J. Su et al., RoFormer, 2021):
 * (a, b) becomes (a cos − b sin, a sin + b cos). Pairs are halves of the head or, `interleaved`, neighbours.
 */
export const RotaryEmbedding = composite({
  op: 'RotaryEmbedding',
  since: 23,
  roles: [DATA, CACHE, CACHE, INDICES],
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
