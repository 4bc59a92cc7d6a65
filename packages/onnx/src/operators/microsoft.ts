import { composite, likeInput } from '../entry/composite.js';
import { erfGelu, tanhGelu } from '../entry/gelu.js';
import type { Definition, DefinitionContext, InferContext, Operator } from '../entry/operator.js';
import { ADDED, BIAS, DATA, FACTOR, GAIN, KERNEL, role } from '../entry/role.js';
import { float } from '../graph/attribute.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value, ValueInfo } from '../graph/value.js';
import { BNB4_NUMBERS } from '../model/packed.js';
import { Tensor } from '../model/tensor.js';
import { type Dim, equalDims } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import { Conv } from './convolution.js';
import { Gemm } from './linear-algebra.js';

/** y = x/2 (1 + erf(x/√2)): ONNX Runtime's own, from before opset 20. */
export const Gelu = composite({
  op: 'Gelu',
  domain: 'com.microsoft',
  since: 1,
  infer: likeInput,
  define: ({ e, input }) => [erfGelu(e, input(0))],
});

/** Gelu of x + bias. */
export const BiasGelu = composite({
  op: 'BiasGelu',
  domain: 'com.microsoft',
  since: 1,
  roles: [DATA, BIAS],
  infer: likeInput,
  define: ({ e, input }) => [erfGelu(e, e.add(input(0), input(1)))],
});

/** The tanh form of Gelu of x, or of x + bias. */
export const FastGelu = composite({
  op: 'FastGelu',
  domain: 'com.microsoft',
  since: 1,
  roles: [DATA, BIAS],
  infer: likeInput,
  define: ({ e, input, has }) => [tanhGelu(e, has(1) ? e.add(input(0), input(1)) : input(0))],
});

/** y = x / (1 + e^(−αx)). */
export const QuickGelu = composite({
  op: 'QuickGelu',
  domain: 'com.microsoft',
  since: 1,
  infer: likeInput,
  define({ e, node, input }) {
    const gate = e.node('Sigmoid', [e.scale(input(0), node.attributes.float('alpha', 1.702))]);
    return [e.mul(input(0), gate)];
  },
});

/** Conv, plus a fourth input, and an activation: what ONNX Runtime's optimizer makes of these. */
export const FusedConv = composite({
  op: 'FusedConv',
  domain: 'com.microsoft',
  since: 1,
  roles: [DATA, KERNEL, BIAS, ADDED],
  infer: (ctx) => Conv.infer({ ...ctx, commonDtype: () => ctx.commonDtype(4) }),
  define(ctx) {
    const { e, node } = ctx;
    const { attributes } = node;
    const y = e.node('Conv', [ctx.input(0), ctx.input(1), ...(ctx.has(2) ? [ctx.input(2)] : [])], {
      auto_pad: attributes.string('auto_pad'),
      dilations: attributes.ints('dilations'),
      group: attributes.int('group'),
      kernel_shape: attributes.ints('kernel_shape'),
      pads: attributes.ints('pads'),
      strides: attributes.ints('strides'),
    });
    return [activated(ctx, ctx.has(3) ? e.add(y, ctx.input(3)) : y, attributes.floats('activation_params') ?? [])];
  },
});

/** Gemm and an activation. */
export const FusedGemm = composite({
  op: 'FusedGemm',
  domain: 'com.microsoft',
  since: 1,
  roles: [FACTOR, FACTOR, BIAS],
  infer: (ctx) => Gemm.infer(ctx),
  define(ctx) {
    const { e, node } = ctx;
    const { attributes } = node;
    const y = e.node('Gemm', [ctx.input(0), ctx.input(1), ...(ctx.has(2) ? [ctx.input(2)] : [])], {
      alpha: float(attributes.float('alpha', 1)),
      beta: float(attributes.float('beta', 1)),
      transA: attributes.int('transA'),
      transB: attributes.int('transB'),
    });
    const parameters = ['alpha', 'beta'].flatMap((name) => attributes.float(`activation_${name}`) ?? []);
    return [activated(ctx, y, parameters)];
  },
});

/** y = alpha · op(a) · op(b), op being the transpose of the last two axes or nothing. */
export const FusedMatMul = composite({
  op: 'FusedMatMul',
  domain: 'com.microsoft',
  since: 1,
  roles: [FACTOR],
  notes: 'no transposed batches; rank 2 and above',
  infer(ctx) {
    const turned = (index: number, attribute: string): Shape => {
      const shape = ctx.shape(index);
      if (shape.length < 2) ctx.fail('it multiplies values of rank 2 and above');
      if (ctx.node.attributes.int(attribute, 0) === 0) return shape;
      return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]];
    };
    const [a, b] = [turned(0, 'transA'), turned(1, 'transB')];
    const [inner, other] = [a[a.length - 1], b[b.length - 2]];
    if (typeof inner === 'number' && typeof other === 'number' && !equalDims(inner, other)) {
      ctx.fail(`rows of ${inner} do not fit columns of ${other}`);
    }
    const batch = ctx.broadcast(a.slice(0, -2), b.slice(0, -2));
    return [{ dtype: ctx.dtype(0), shape: [...batch, a[a.length - 2], b[b.length - 1]] }];
  },
  define(ctx) {
    const { e, node } = ctx;
    for (const name of ['transBatchA', 'transBatchB']) {
      if (node.attributes.int(name, 0) !== 0)
        ctx.fail(`its ${name} is not supported; optimize the model at a lower level`);
    }
    const turned = (x: Value, attribute: string) =>
      node.attributes.int(attribute, 0) === 0 ? x : e.matrixTranspose(x);
    const product = e.matMul(turned(ctx.input(0), 'transA'), turned(ctx.input(1), 'transB'));
    return [e.scale(product, node.attributes.float('alpha', 1))];
  },
});

/** The parameters of activations, in the order in which fused operators list them. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  HardSigmoid: ['alpha', 'beta'],
  LeakyRelu: ['alpha'],
  Relu: [],
  Sigmoid: [],
  Tanh: [],
};

/** The activation that ONNX Runtime's optimizer has put into a node; nothing where it has put none. */
function activated(ctx: DefinitionContext, x: Value, parameters: readonly number[]): Value {
  const { e, node, fail } = ctx;
  const activation = node.attributes.string('activation', '');
  if (activation === '') return x;
  if (activation === 'Clip') return e.node('Clip', [x, ...parameters.map((bound) => e.scalar(bound, x))]);
  if (!(activation in PARAMETERS)) return fail(`its activation '${activation}' is not known`);
  return e.node(
    activation,
    [x],
    Object.fromEntries(PARAMETERS[activation].map((name, i) => [name, float(parameters[i] ?? fail(`lacks ${name}`))])),
  );
}

/** Output, mean, 1 / deviation, and the sum that is normalized. */
function infer(ctx: InferContext) {
  const shape = ctx.shape(0);
  const reduced = { dtype: 'float32' as const, shape: shape.with(-1, 1) };
  const like = { dtype: ctx.dtype(0), shape };
  return [like, reduced, reduced, like];
}

const added = ({ e, input, has }: Parameters<Definition>[0], bias: number): Value => {
  const sum = e.add(input(0), input(1));
  return has(bias) ? e.add(sum, input(bias)) : sum;
};

/** LayerNormalization of input + skip + bias. */
export const SkipLayerNormalization = composite({
  op: 'SkipLayerNormalization',
  domain: 'com.microsoft',
  since: 1,
  roles: [ADDED, ADDED, GAIN, BIAS, BIAS],
  mixes: true,
  infer,
  define(ctx) {
    const { e, node, input, has } = ctx;
    const sum = added(ctx, 4);
    const outputs = e.nodes(
      'LayerNormalization',
      has(3) ? [sum, input(2), input(3)] : [sum, input(2)],
      { axis: -1, epsilon: float(node.attributes.float('epsilon', 1e-12)) },
      3,
    );
    return [...outputs, sum];
  },
});

/** RMSNormalization of input + skip + bias. */
export const SkipSimplifiedLayerNormalization = composite({
  op: 'SkipSimplifiedLayerNormalization',
  domain: 'com.microsoft',
  since: 1,
  roles: [ADDED, ADDED, GAIN, BIAS],
  mixes: true,
  notes: 'without its statistics',
  infer,
  define(ctx) {
    const { e, node, input } = ctx;
    const sum = added(ctx, 3);
    const epsilon = float(node.attributes.float('epsilon', 1e-12));
    return [e.node('SimplifiedLayerNormalization', [sum, input(2)], { axis: -1, epsilon }), undefined, undefined, sum];
  },
});

/** An operator of ONNX Runtime's own that its optimizers write into models; what comes after it can be trained. */
function forward(op: string, infer: (ctx: InferContext) => readonly ValueInfo[]): Operator {
  return { op, domain: 'com.microsoft', since: 1, mixes: true, notes: 'shapes only', infer, gradient: 'none' };
}

const open = (ctx: InferContext, rank: number): Shape => Array.from({ length: rank }, () => ctx.unknownDim(0));

const PACKED = role('setting', 'a quantized matrix and its parameters');

/** A product with a matrix of N columns that is stored in a few bits a number. */
function packedProduct(ctx: InferContext): readonly ValueInfo[] {
  const columns = ctx.node.attributes.int('N') ?? ctx.fail("attribute 'N' is missing");
  return [{ dtype: ctx.dtype(0), shape: ctx.shape(0).with(-1, columns) }];
}

/**
 * x Wᵀ for a matrix W [N, K] of blocks of `block_size` numbers of a few bits, each block with a scale and a zero point. The
 * gradient goes to x (and a bias) through the matrix in floats; the node itself stays as it is.
 */
export const MatMulNBits: Operator = {
  op: 'MatMulNBits',
  domain: 'com.microsoft',
  since: 1,
  roles: [DATA, PACKED, PACKED, PACKED, PACKED, BIAS],
  mixes: true,
  notes: 'without g_idx; its matrix stays as it is',
  infer: packedProduct,
  gradient: (ctx) => ctx.pullback(productOfBits),
};

function productOfBits(ctx: DefinitionContext): readonly Value[] {
  const { e, node } = ctx;
  const { attributes } = node;
  if (ctx.has(4)) ctx.fail('groups by index (g_idx) are not supported');
  const x = ctx.input(0);
  const dtype = x.dtype ?? 'float32';
  const bits = attributes.int('bits', 4);
  const [rows, columns, block] = ['N', 'K', 'block_size'].map(
    (name) => attributes.int(name) ?? ctx.fail(`lacks its ${name}`),
  );
  const blocks = Math.ceil(columns / block);
  const numbers = e.reshape(unpacked(e, ctx.input(1), bits), [rows, blocks, block]);
  // Packed zero points begin anew with every row.
  const zeros = (value: Value) => {
    if (value.dtype !== 'uint8') return e.reshape(value, [rows, blocks, 1]);
    const all = e.reshape(unpacked(e, value, bits), [rows, -1]);
    const own = e.slice(all, { starts: [0], ends: [blocks], axes: [1] });
    return e.reshape(e.cast(own, dtype), [rows, blocks, 1]);
  };
  const middle = ctx.has(3) ? zeros(ctx.input(3)) : e.scalar(2 ** (bits - 1), x);
  const scaled = e.mul(e.sub(e.cast(numbers, dtype), middle), e.reshape(ctx.input(2), [rows, blocks, 1]));
  const padded = e.reshape(scaled, [rows, blocks * block]);
  const matrix = blocks * block === columns ? padded : e.slice(padded, { starts: [0], ends: [columns], axes: [1] });
  const product = e.matMul(x, e.transpose(matrix, [1, 0]));
  return [ctx.has(5) ? e.add(product, ctx.input(5)) : product];
}

/** The numbers of a few bits each that bytes hold, the first in the lowest bits, along a new last axis; int32. */
function unpacked(e: Emitter, bytes: Value, bits: number): Value {
  const places = Int32Array.from({ length: 8 / bits }, (_, i) => 2 ** (bits * i));
  const shifted = e.div(
    e.unsqueeze(e.cast(bytes, 'int32'), [bytes.shape?.length ?? 0]),
    e.constant(Tensor.of('int32', [places.length], places), 'places'),
  );
  return e.node('Mod', [shifted, e.scalar(2 ** bits, 'int32')]);
}

/** As {@link MatMulNBits}, the numbers being FP4 or NF4 codes, and each block having its largest magnitude. */
export const MatMulBnb4: Operator = {
  op: 'MatMulBnb4',
  domain: 'com.microsoft',
  since: 1,
  roles: [DATA, PACKED],
  mixes: true,
  notes: 'its matrix stays as it is',
  infer: packedProduct,
  gradient: (ctx) => ctx.pullback(productOfCodes),
};

function productOfCodes(ctx: DefinitionContext): readonly Value[] {
  const { e, node } = ctx;
  const { attributes } = node;
  const x = ctx.input(0);
  const [rows, columns, block] = ['N', 'K', 'block_size'].map(
    (name) => attributes.int(name) ?? ctx.fail(`lacks its ${name}`),
  );
  const table = BNB4_NUMBERS[attributes.int('quant_type', 1)];
  const numbers = e.constant(Tensor.of('float32', [table.length], Float32Array.from(table)), 'codes');
  // The first of two codes is in the upper bits.
  const pairs = e.reshape(unpacked(e, ctx.input(1), 4), [-1, 2]);
  const codes = e.reshape(e.gather(pairs, e.int64([1, 0]), 1), [-1]);
  const size = rows * columns;
  e.allow(size);
  const own = e.slice(codes, { starts: [0], ends: [size], axes: [0] });
  const places = e.div(
    e.node('Range', [e.scalar(0, 'int64'), e.scalar(size, 'int64'), e.scalar(1, 'int64')]),
    e.scalar(block, 'int64'),
  );
  const scaled = e.mul(e.cast(e.gather(numbers, own), x.dtype ?? 'float32'), e.gather(ctx.input(2), places));
  return [e.matMul(x, e.transpose(e.reshape(scaled, [rows, columns]), [1, 0]))];
}

/** Sum of word, position and segment embeddings, normalized: [batch, sequence, hidden]. */
export const EmbedLayerNormalization = forward('EmbedLayerNormalization', (ctx) => {
  const [batch, sequence] = ctx.shape(0);
  const embedded = { dtype: ctx.dtype(2), shape: [batch, sequence, ctx.shape(2)[1]] };
  return [embedded, { dtype: 'int32', shape: [batch] }, embedded];
});

/** Projection to queries, keys and values, attention, and the keys and values of this and earlier steps. */
export const Attention = forward('Attention', (ctx) => {
  const { attributes } = ctx.node;
  const [batch, sequence] = ctx.shape(0);
  const widths = attributes.ints('qkv_hidden_sizes');
  const dtype = ctx.dtype(0);
  const width = widths?.[2] ?? third(ctx, ctx.input(1));
  return [
    { dtype, shape: [batch, sequence, width] },
    { dtype, shape: open(ctx, 5) },
  ];
});

function third(ctx: InferContext, weights: Value): Dim {
  const width = weights.shape?.[1];
  return typeof width === 'number' ? width / 3 : ctx.unknownDim();
}

/** Attention with queries, keys and values of their own, or packed: [batch, sequence, heads, 3, size]. */
export const MultiHeadAttention = forward('MultiHeadAttention', (ctx) => {
  const query = ctx.shape(0);
  const dtype = ctx.dtype(0);
  const heads = ctx.node.attributes.int('num_heads') ?? ctx.fail("attribute 'num_heads' is missing");
  const last = (query.length === 5 ? query[4] : undefined) ?? headWidth(ctx);
  const width = typeof last === 'number' ? last * heads : ctx.has(2) ? wholeWidth(ctx) : query[2];
  return [
    { dtype, shape: [query[0], query[1], width] },
    { dtype, shape: open(ctx, 4) },
    { dtype, shape: open(ctx, 4) },
  ];
});

/** The width of one head, where the values are [batch, heads, sequence, size]. */
function headWidth(ctx: InferContext): Dim | undefined {
  return ctx.has(2) && ctx.rank(2) === 4 ? ctx.shape(2)[3] : undefined;
}

function wholeWidth(ctx: InferContext): Dim {
  return ctx.rank(2) === 3 ? ctx.shape(2)[2] : ctx.unknownDim();
}
