import { elementCount } from '@adakit/core';
import { likeInput } from '../entry/composite.js';
import { axesFromInput } from '../entry/axes.js';
import { defaulting, intsToInput, setInput } from '../entry/older-form.js';
import type { InferContext, Operator } from '../entry/operator.js';
import { DATA, JOINED, SETTING } from '../entry/role.js';
import { openShapeFromInput, shapeFromInput } from '../entry/shape-input.js';
import type { Contents } from '../graph/value.js';
import {
  addDims,
  ceilDivideDims,
  differentDims,
  type Dim,
  divideExactly,
  floorDivideDims,
  hasUnknown,
  isStatic,
  lowerBound,
  multiplyDims,
  productOfDims,
  subtractDims,
} from '../shape/dim.js';
import { isStaticShape, MAX_CONTENTS, printShape, type Shape } from '../shape/shape.js';

/** Joins values along one axis; the cotangent is cut into the same pieces. */
export const Concat: Operator = {
  op: 'Concat',
  since: 13,
  roles: [JOINED],
  moves: true,
  early: [defaulting(4, { axis: 1 })],
  infer(ctx) {
    const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
    const first = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis') ?? ctx.fail("attribute 'axis' is missing"), first.length);
    const shapes = indices.map((i) => ctx.shape(i));
    const shape = shapes.reduce((joined, each): Shape => {
      const misfit = () => ctx.fail(`${printShape(first)} and ${printShape(each)} cannot be joined along axis ${axis}`);
      if (each.length !== first.length) return misfit();
      return joined.map((dim, i): Dim => (i === axis ? addDims(dim, each[i]) : (ctx.same(dim, each[i]) ?? misfit())));
    });
    const parts = indices.map((i) => ctx.contents(i));
    const known = parts.filter((part) => part !== undefined);
    const contents = first.length === 1 && known.length === parts.length ? known.flat() : undefined;
    return [
      {
        dtype: ctx.commonDtype(Infinity),
        shape,
        contents: contents && contents.length <= MAX_CONTENTS ? contents : undefined,
      },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    if (ctx.inputCount === 1) return [ctx.grad()];
    const rank = ctx.shape(ctx.output()).length;
    const axis = ctx.node.attributes.int('axis', 0);
    const from = axis < 0 ? axis + rank : axis;
    const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
    const lengths = indices.map((i) => ctx.shape(ctx.input(i))[from]);
    const sizes = lengths.every((length) => typeof length === 'number')
      ? e.int64(lengths)
      : e.concat(
          indices.map((i) => e.node('Shape', [ctx.input(i)], { start: from, end: from + 1 })),
          0,
        );
    const parts = e.nodes('Split', [ctx.grad(), sizes], { axis: from }, ctx.inputCount);
    return indices.map((i) => (ctx.needs(i) ? parts[i] : undefined));
  },
};

/** Cuts a value along one axis into pieces of given sizes, or into `num_outputs` equal ones (the last may be smaller). */
export const Split: Operator = {
  op: 'Split',
  since: 18,
  roles: [DATA, SETTING],
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', 0), shape.length);
    const count = ctx.node.outputs.length;
    const given = ctx.node.attributes.int('num_outputs', count);
    if (given !== count) ctx.fail(`num_outputs is ${given}, but it has ${count} outputs`);
    const sizes = ctx.has(1) ? ctx.contents(1) : undefined;
    if (sizes !== undefined && sizes.length !== count) ctx.fail(`${sizes.length} sizes are given for ${count} outputs`);
    if (sizes !== undefined && differentDims(sizes.reduce(addDims), shape[axis])) {
      ctx.fail(`pieces of ${sizes.join(', ')} elements do not make up an axis of ${String(shape[axis])}`);
    }
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

/** The same elements in another shape; the cotangent is reshaped back. */
export const Reshape: Operator = {
  op: 'Reshape',
  since: 14,
  roles: [DATA, SETTING],
  moves: true,
  followsHead: true,
  early: [
    {
      before: 5,
      upgrade: (ctx) => {
        intsToInput(ctx, 'shape', 1);
      },
    },
  ],
  shape: 'values',
  infer(ctx) {
    const shape = reshaped(ctx, ctx.shape(0));
    const elements = ctx.flatContents(0);
    const known = shape.length <= 1 ? { contents: elements } : { flatContents: elements };
    return [{ dtype: ctx.dtype(0), shape, ...known }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
};

/** In the shape input, 0 copies the dimension at its place (unless `allowzero`) and -1 takes what is left. */
function reshaped(ctx: InferContext, from: Shape): Shape {
  const target = ctx.contents(1);
  if (target === undefined) return openShapeFromInput(ctx, 1);
  const allowZero = ctx.node.attributes.int('allowzero', 0) === 1;
  // Undefined marks what must be found from the number of elements.
  const left = target.filter((dim) => dim === -1).length;
  if (left > 1) ctx.fail(`${left} dimensions of the new shape are -1; one can be found from the others`);
  const dims = target.map((dim, i): Dim | undefined => {
    if (isStatic(dim) && dim < -1) ctx.fail(`the new shape asks for ${dim} elements along an axis`);
    if (dim === 0 && !allowZero) {
      return i < from.length
        ? from[i]
        : ctx.fail(`0 at place ${i} of the new shape copies a dimension that does not exist`);
    }
    return lowerBound(dim) >= (allowZero ? 0 : 1) ? dim : undefined;
  });
  const known = dims.filter((dim) => dim !== undefined);
  const [have, want] = [productOfDims(from), productOfDims(known)];
  const mismatch = () => ctx.fail(`${printShape(from)} cannot be reshaped to ${printShape(target)}`);
  if (known.length === dims.length) {
    return ctx.same(have, want) === undefined ? mismatch() : known;
  }
  if (known.length < dims.length - 1) return dims.map((dim) => dim ?? ctx.unknownDim());
  if (isStatic(have) && isStatic(want) && (want === 0 || have % want !== 0)) return mismatch();
  // At run time the division leaves no rest.
  const rest = divideExactly(have, want) ?? floorDivideDims(have, want);
  return dims.map((dim) => dim ?? rest);
}

/** A matrix: the axes before `axis` become the rows, the others the columns. */
export const Flatten: Operator = {
  op: 'Flatten',
  since: 13,
  followsHead: true,
  infer(ctx) {
    const shape = ctx.shape(0);
    const given = ctx.node.attributes.int('axis', 1);
    // Unlike elsewhere, the axis may be equal to the rank.
    const axis = given === shape.length ? given : ctx.axis(given, shape.length);
    return [{ dtype: ctx.dtype(0), shape: [productOfDims(shape.slice(0, axis)), productOfDims(shape.slice(axis))] }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
};

/**
 * Removes axes of length 1: those given, or all. Without axes, free dimensions count as longer than 1: an exporter that
 * leaves the batch free does not mean it to vanish where it happens to be 1.
 */
export const Squeeze: Operator = {
  op: 'Squeeze',
  since: 13,
  roles: [DATA, SETTING],
  moves: true,
  followsHead: true,
  shape: 'values',
  notes: 'without axes, a free dimension is kept even where it turns out to be 1',
  infer(ctx) {
    const axes = new Set(squeezedAxes(ctx));
    const shape = ctx.shape(0).filter((_, i) => !axes.has(i));
    return [{ dtype: ctx.dtype(0), shape, contents: ctx.contents(0) }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
  upgrade(ctx) {
    if (ctx.opset < 13) intsToInput(ctx, 'axes', 1);
    const [x, axes] = ctx.node.inputs;
    const isListed = axes !== undefined && axes.contents?.length !== 0;
    if (isListed || x?.shape === undefined || isStaticShape(x.shape) || x.shape.some(hasUnknown)) return undefined;
    const ones = x.shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
    if (ones.length === 0) return [x];
    setInput(ctx, 1, ctx.e.int64(ones));
    return undefined;
  },
};

function squeezedAxes(ctx: InferContext): readonly number[] {
  const shape = ctx.shape(0);
  // ONNX Runtime reads an empty list as no list.
  if (!ctx.has(1) || ctx.staticContents(1)?.length === 0) {
    // The runtime looks at what is 1 in this run; files have had their axes listed by now, where these are known.
    if (!isStaticShape(shape))
      ctx.fail('without axes, the rank of its result depends on a free dimension; give the axes');
    return shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
  }
  const axes = axesFromInput(ctx, 1, shape.length);
  const long = axes.find((axis) => differentDims(shape[axis], 1));
  if (long !== undefined)
    ctx.fail(`axis ${long} has length ${String(shape[long])}, only axes of length 1 can be removed`);
  return axes;
}

/** Inserts axes of length 1. */
export const Unsqueeze: Operator = {
  op: 'Unsqueeze',
  since: 13,
  roles: [DATA, SETTING],
  moves: true,
  followsHead: true,
  shape: 'values',
  infer(ctx) {
    const rank = ctx.rank(0) + (ctx.staticContents(1)?.length ?? 0);
    const axes = new Set(axesFromInput(ctx, 1, rank));
    const rest = [...ctx.shape(0)];
    const shape = Array.from({ length: rank }, (_, i): Dim => (axes.has(i) ? 1 : (rest.shift() ?? 1)));
    return [{ dtype: ctx.dtype(0), shape, contents: rank <= 1 ? ctx.contents(0) : undefined }];
  },
  gradient: (ctx) => [ctx.e.reshapeLike(ctx.grad(), ctx.input(0))],
  upgrade(ctx) {
    if (ctx.opset < 13) intsToInput(ctx, 'axes', 1);
    return undefined;
  },
};

/**
 * Permutes the axes: y's axis i is x's axis perm[i]. The cotangent goes through the inverse permutation. The standard knows no
 * axis below 0 here, and ONNX Runtime refuses it; PyTorch's TorchScript exporter writes it, for the axis counted from the end.
 */
export const Transpose: Operator = {
  op: 'Transpose',
  since: 13,
  moves: true,
  followsHead: true,
  infer(ctx) {
    const shape = ctx.shape(0);
    const perm = ctx.node.attributes.ints('perm', shape.map((_, i) => i).reverse());
    if (perm.length !== shape.length || new Set(perm.map((axis) => ctx.axis(axis, shape.length))).size < perm.length) {
      ctx.fail(`perm [${perm.join(', ')}] is no permutation of the ${shape.length} axes`);
    }
    return [
      {
        dtype: ctx.commonDtype(1),
        shape: perm.map((axis) => shape[axis]),
        contents: ctx.contents(0),
        flatContents: rearranged(ctx.flatContents(0), shape, perm),
      },
    ];
  },
  gradient(ctx) {
    const perm = ctx.node.attributes.ints('perm');
    return [
      ctx.e.transpose(
        ctx.grad(),
        perm?.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
  upgrade({ node }) {
    const perm = node.attributes.ints('perm');
    if (perm?.some((axis) => axis < 0) === true) {
      node.attributes.set(
        'perm',
        perm.map((axis) => (axis < 0 ? axis + perm.length : axis)),
      );
    }
    return undefined;
  },
};

/** The elements of a small tensor of two axes and more in their new order. */
function rearranged(elements: Contents | undefined, shape: Shape, perm: readonly number[]): Contents | undefined {
  if (elements === undefined || shape.length < 2 || !isStaticShape(shape)) return undefined;
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const places = perm.reduce(
    (starts: readonly number[], axis) =>
      starts.flatMap((start) => Array.from({ length: shape[axis] }, (_, i) => start + i * strides[axis])),
    [0],
  );
  return places.map((place) => elements[place]);
}

/** Broadcasts to a given shape; a dimension of 1 in that shape keeps the input's. */
export const Expand: Operator = {
  op: 'Expand',
  since: 13,
  roles: [DATA, SETTING],
  moves: true,
  shape: 'values',
  infer(ctx) {
    const shape = ctx.broadcast(ctx.shape(0), shapeFromInput(ctx, 1));
    const contents = ctx.contents(0);
    const unchanged = shape.length <= 1 && contents?.length === (shape.length === 0 ? 1 : shape[0]);
    return [{ dtype: ctx.dtype(0), shape, contents: unchanged ? contents : undefined }];
  },
  gradient: (ctx) => [ctx.unbroadcast(ctx.grad(), 0)],
};

/** Repeats the tensor `repeats[i]` times along every axis i; the cotangents of all copies add up. */
export const Tile: Operator = {
  op: 'Tile',
  since: 13,
  roles: [DATA, SETTING],
  early: [{ before: 6, upgrade: ({ opset, fail }) => fail(`is in the form of opset ${opset}, one axis at a time`) }],
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const repeats = ctx.contents(1);
    if (repeats !== undefined && repeats.length !== shape.length) {
      ctx.fail(`it has ${repeats.length} repeats for a tensor of rank ${shape.length}`);
    }
    return [
      {
        dtype: ctx.dtype(0),
        shape: shape.map((dim, i) => (repeats === undefined ? ctx.unknownDim(0) : multiplyDims(dim, repeats[i]))),
      },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, repeats, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const shape = ctx.shape(x);
    if (shape.length === 0) return [dy];
    const known = repeats.contents;
    // [r₀, n₀, r₁, n₁, …]: the copies lie along the even axes.
    const pairs =
      known?.every(isStatic) === true && isStaticShape(shape)
        ? e.int64(shape.flatMap((dim, i) => [known[i], dim]))
        : e.reshape(e.concat([e.unsqueeze(repeats, [1]), e.unsqueeze(e.shapeOf(x), [1])], 1), [-1]);
    const copies = e.node('Reshape', [dy, pairs], { allowzero: 1 });
    const sum = e.reduceSum(
      copies,
      shape.map((_, i) => 2 * i),
    );
    return [e.assume(sum, shape)];
  },
};

/** Keeps the upper (or lower) triangle of each matrix, shifted by `k` diagonals; elsewhere 0. */
export const Trilu: Operator = {
  op: 'Trilu',
  since: 14,
  roles: [DATA, SETTING],
  infer(ctx) {
    if (ctx.rank(0) < 2) ctx.fail('it works on matrices, of rank 2 and above');
    return likeInput(ctx);
  },
  gradient(ctx) {
    const inputs = ctx.has(1) ? [ctx.grad(), ctx.input(1)] : [ctx.grad()];
    return [ctx.e.node('Trilu', inputs, { upper: ctx.node.attributes.int('upper') })];
  },
};

/** Reverses the first `sequence_lens[i]` elements of each sequence i: its own transpose. */
export const ReverseSequence: Operator = {
  op: 'ReverseSequence',
  since: 10,
  infer: likeInput,
  gradient(ctx) {
    const { attributes } = ctx.node;
    return [
      ctx.e.node('ReverseSequence', [ctx.grad(), ctx.input(1)], {
        batch_axis: attributes.int('batch_axis'),
        time_axis: attributes.int('time_axis'),
      }),
    ];
  },
};

/** Blocks of channels become blocks of pixels; SpaceToDepth takes the gradient back. */
export const DepthToSpace: Operator = {
  op: 'DepthToSpace',
  since: 13,
  infer(ctx) {
    const size = blockSize(ctx);
    const [batch, channels, height, width] = imageShape(ctx);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [batch, exactly(ctx, channels, size * size), multiplyDims(height, size), multiplyDims(width, size)],
      },
    ];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const size = node.attributes.int('blocksize', 1);
    const packed = e.node('SpaceToDepth', [ctx.grad()], { blocksize: size });
    if (node.attributes.string('mode', 'DCR') === 'DCR') return [e.assume(packed, ctx.shape(x))];
    // SpaceToDepth orders channels by place in the block, then by channel; CRD is the other way round.
    const [channels] = ctx.shape(ctx.output()).slice(1);
    if (!isStatic(channels)) return ctx.fail('the number of its channels must be known');
    const grouped = e.reshape(packed, [0, size * size, channels, -1]);
    return [e.reshapeLike(e.transpose(grouped, [0, 2, 1, 3]), x)];
  },
};

/** Blocks of pixels become blocks of channels; DepthToSpace takes the gradient back. */
export const SpaceToDepth: Operator = {
  op: 'SpaceToDepth',
  since: 13,
  infer(ctx) {
    const size = blockSize(ctx);
    const [batch, channels, height, width] = imageShape(ctx);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [batch, multiplyDims(channels, size * size), exactly(ctx, height, size), exactly(ctx, width, size)],
      },
    ];
  },
  gradient(ctx) {
    const dx = ctx.e.node('DepthToSpace', [ctx.grad()], { blocksize: ctx.node.attributes.int('blocksize') });
    return [ctx.e.assume(dx, ctx.shape(ctx.input(0)))];
  },
};

/** The length of the blocks of DepthToSpace and SpaceToDepth. */
function blockSize(ctx: InferContext): number {
  return ctx.node.attributes.int('blocksize') ?? ctx.fail("attribute 'blocksize' is missing");
}

/** [batch, channels, height, width]. */
function imageShape(ctx: InferContext): Shape {
  const shape = ctx.shape(0);
  return shape.length === 4 ? shape : ctx.fail('it works on images [batch, channels, height, width], of rank 4');
}

/** `dim` divided by `divisor`, which must leave no rest. */
function exactly(ctx: InferContext, dim: Dim, divisor: number): Dim {
  if (isStatic(dim) && dim % divisor !== 0) ctx.fail(`${dim} cannot be divided into blocks of ${divisor}`);
  return divideExactly(dim, divisor) ?? floorDivideDims(dim, divisor);
}
