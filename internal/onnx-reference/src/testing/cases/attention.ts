import { type Emitter, float, Tensor, type Value } from '@adakit/onnx';
import { apply, type Case } from './case.js';

const flat = [
  [2, 3, 8],
  [2, 5, 8],
  [2, 5, 8],
];
const byHead = [
  [2, 4, 3, 6],
  [2, 2, 5, 6],
  [2, 2, 5, 6],
];
const seen = Tensor.of('bool', [3, 5], Uint8Array.of(1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 0));
const positions = Tensor.of('int64', [2, 3], BigInt64Array.of(0n, 1n, 2n, 4n, 3n, 1n));

const sideBySide = (e: Emitter, values: readonly Value[]) =>
  e.concat(
    values.map((value) => e.reshape(value, [-1])),
    0,
  );

export const attentionCases: readonly Case[] = [
  {
    name: 'Attention',
    dims: flat,
    build: apply('Attention', { q_num_heads: 2, kv_num_heads: 2 }),
    native: 23,
    free: 2,
  },
  {
    name: 'Attention to the past only, heads apart and shared',
    dims: byHead,
    build: apply('Attention', { is_causal: 1, scale: float(0.5) }),
    native: 23,
    free: 3,
  },
  {
    name: 'Attention, heads shared, softly capped',
    dims: [
      [2, 3, 8],
      [2, 5, 4],
      [2, 5, 4],
    ],
    build: apply('Attention', { q_num_heads: 4, kv_num_heads: 2, softcap: float(0.5) }),
    native: 23,
    free: 5,
  },
  {
    name: 'Attention with a mask that is added, softly capped',
    dims: [...byHead, [3, 5]],
    build: apply('Attention', { softcap: float(0.5) }),
    native: 23,
    free: 3,
  },
  {
    name: 'Attention with a mask of what to see',
    dims: byHead,
    build: (e, q, k, v) => e.node('Attention', [q, k, v, e.constant(seen)]),
    native: 23,
    fixed: true,
  },
  ...[0, 1].map((causal): Case => ({
    name: `Attention with past keys and values${causal === 1 ? ', to the past only' : ''}`,
    dims: [...byHead, [2, 2, 7, 6], [2, 2, 7, 6]],
    build: (e, q, k, v, pastKey, pastValue) =>
      sideBySide(e, e.nodes('Attention', [q, k, v, undefined, pastKey, pastValue], { is_causal: causal }, 3)),
    native: 23,
    free: 3,
  })),
  {
    name: 'Attention with past keys and values, flat',
    dims: [...flat, [2, 2, 7, 4], [2, 2, 7, 4]],
    build: (e, q, k, v, pastKey, pastValue) =>
      sideBySide(
        e,
        e.nodes('Attention', [q, k, v, undefined, pastKey, pastValue], { q_num_heads: 2, kv_num_heads: 2 }, 3),
      ),
    native: 23,
    free: 3,
  },
  ...[0, 1, 2, 3].map((mode): Case => ({
    name: `Attention with its products, in mode ${mode}`,
    dims: [...byHead, [3, 5]],
    build: (e, q, k, v, mask) => {
      const attributes = { qk_matmul_output_mode: mode, softcap: float(0.5) };
      const [y, , , products] = e.nodes('Attention', [q, k, v, mask], attributes, 4);
      return sideBySide(e, [y, products]);
    },
    native: 23,
    free: 3,
  })),
  {
    name: 'Attention to the first keys of each sample',
    dims: byHead,
    build: (e, q, k, v) => {
      const lengths = e.constant(Tensor.of('int64', [2], BigInt64Array.of(3n, 5n)));
      return e.node('Attention', [q, k, v, undefined, undefined, undefined, lengths]);
    },
    native: 24,
    free: 3,
  },
  ...[0, 1].flatMap((interleaved): Case[] => [
    {
      name: `RotaryEmbedding, interleaved = ${interleaved}`,
      dims: [
        [2, 4, 3, 6],
        [5, 3],
        [5, 3],
      ],
      build: (e, x, cos, sin) => e.node('RotaryEmbedding', [x, cos, sin, e.constant(positions)], { interleaved }),
      native: 23,
      fixed: true,
    },
    {
      name: `RotaryEmbedding of a part, without positions, interleaved = ${interleaved}`,
      dims: [
        [5, 3, 12],
        [5, 3, 2],
        [5, 3, 2],
      ],
      build: apply('RotaryEmbedding', { interleaved, num_heads: 2, rotary_embedding_dim: 4 }),
      native: 23,
      free: 5,
    },
  ]),
];
