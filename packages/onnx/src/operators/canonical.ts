import { elementCount } from '@adakit/core';
import { composite, likeInput } from '../entry/composite.js';
import { linearRecurrenceOf, statesInSteps } from '../entry/recurrent/linear.js';
import { scaleChannels } from '../entry/standardize.js';
import {
  convolutionInputGradient,
  convolutionInputShape,
  inputConvolutionOf,
  weightConvolutionOf,
} from '../entry/window/canonical.js';
import { transposedConvolution } from '../entry/window/input-gradient.js';
import { atOffsets, CHANNELS_FIRST } from '../entry/window/offsets.js';
import { productsOfGroups } from '../entry/window/weight-gradient.js';
import { poolWindows, requirePlaced, spatialAxes, windowExtent, type PlacedWindows } from '../entry/window/windows.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { OWN_DOMAIN } from '../model/opset.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';

/*
 * What gradients are written in where runtimes differ in how it is best computed. Before a graph runs, each is replaced by
 * the formulation that the target prefers (`target/`), or by the definition here, in standard operators that every provider
 * executes.
 */

const canonical = { domain: OWN_DOMAIN, since: 1, notes: 'written by gradients, in no file' } as const;

/** The cotangent of the input of a convolution: of the weights, the cotangent of the output, and the input for its lengths. */
export const ConvInputGradient = composite({
  op: 'ConvInputGradient',
  ...canonical,
  infer: (ctx) => [{ dtype: ctx.dtype(1), shape: convolutionInputShape(ctx) }],
  define: (ctx) => [transposedConvolution(ctx.e, inputConvolutionOf(ctx))],
});

/** The cotangent of the weights of a convolution: of the input, the cotangent of the output, and the weights for their shape. */
export const ConvWeightGradient = composite({
  op: 'ConvWeightGradient',
  ...canonical,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(2) }],
  define: (ctx) => [productsOfGroups(ctx.e, weightConvolutionOf(ctx))],
});

/**
 * The cotangent of the input of MaxPool: of x, y = MaxPool(x) and the cotangent of y. That of each window goes to the first
 * element, in row-major order, that attains its maximum.
 */
export const MaxPoolGradient = composite({
  op: 'MaxPoolGradient',
  ...canonical,
  infer: likeInput,
  /**
   * Without Indices, which not every provider computes: every offset of the window in turn takes what its element equals,
   * unless an earlier one has. One transposed convolution with a kernel of ones and zeros puts the parts into place.
   */
  define(ctx) {
    const { e } = ctx;
    const [x, y, dy] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const windows = requirePlaced(ctx, poolWindows(ctx, ctx.shape(x).slice(2)));
    const isCeil = ctx.node.attributes.int('ceil_mode', 0) === 1;
    const reaching = isCeil ? { ...windows, end: reachingEnd(windows) } : windows;
    const spread = isCeil ? { ...windows, end: fittedEnd(windows) } : windows;
    const axes = spatialAxes(windows);
    /** More padding than needed makes more windows than there are. */
    const cut = (element: Value) => {
      if (!isCeil) return element;
      const lengths = e.node('Shape', [y], { start: 2 });
      return e.node('Slice', [element, e.int64(axes.map(() => 0)), lengths, e.int64(axes)]);
    };
    const dtype = x.dtype ?? 'float32';
    let free: Value | undefined;
    const shares = atOffsets(e, x, reaching, CHANNELS_FIRST, e.scalar(-Infinity, x)).map((element) => {
      const attains = e.cast(e.equal(e.assume(cut(element), ctx.shape(y)), y), dtype);
      const chosen = free === undefined ? attains : e.mul(attains, free);
      free = e.sub(free ?? e.scalar(1, x), chosen);
      return e.mul(chosen, dy);
    });
    // Every channel is treated alike, as one more sample.
    const places = e.concat([e.int64([-1, 1]), e.node('Shape', [dy], { start: 2 })], 0);
    const parts = e.concat(
      shares.map((share) => e.reshape(share, places)),
      1,
    );
    e.assume(parts, [ctx.shape(parts)[0], shares.length, ...windows.output]);
    e.allow(shares.length ** 2);
    const weights = e.constant(oneHot(dtype, windows.kernel), 'offsets');
    return [e.reshapeLike(convolutionInputGradient(e, { weights, dy: parts, x, windows: spread }), x)];
  },
});

/** Weights [offsets, 1, …kernel] with a 1 at the offset that each is for. */
function oneHot(dtype: DType, kernel: readonly number[]): Tensor {
  const size = elementCount(kernel);
  const data = dtype === 'float64' ? new Float64Array(size * size) : new Float32Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return Tensor.of(dtype === 'float64' ? 'float64' : 'float32', [size, 1, ...kernel], data);
}

/** With `ceil_mode` the last windows reach beyond the padding, but none begins there: enough of it for all of them. */
function reachingEnd(windows: PlacedWindows): readonly number[] {
  return windows.end.map((pad, i) => Math.max(pad, windowExtent(windows, i) - 1));
}

/** Padding at the end to just where the last window ends, where that is known. */
function fittedEnd(windows: PlacedWindows): readonly number[] {
  const { strides, begin, end, input, output } = windows;
  return end.map((pad, i) => {
    const [length, count] = [input[i], output[i]];
    if (!isStatic(length) || !isStatic(count)) return pad;
    return Math.max(strides[i] * (count - 1) + windowExtent(windows, i) - begin[i] - length, 0);
  });
}

/** The cotangent of the data of Gather: of the data (for its shape), the indices and the cotangent of the result. */
export const GatherGradient = composite({
  op: 'GatherGradient',
  ...canonical,
  infer: likeInput,
  /** Adds each slice of dy to where it was taken from; ScatterElements wants an index for every element. */
  define(ctx) {
    const { e } = ctx;
    const [x, indices, dy] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const rank = ctx.shape(x).length;
    const given = ctx.node.attributes.int('axis', 0);
    const axis = given < 0 ? given + rank : given;
    // One index axis, so that dy has the rank of x.
    const flat = e.reshape(indices, [-1]);
    const outer = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
    const column = e.unsqueeze(flat, outer);
    const shape = ctx.shape(x).with(axis, ctx.shape(flat)[0]);
    const lengths = outer.length === 0 ? [] : [e.shapeOf(x)];
    const pieces = [
      ...lengths.map((all) => piece(e, all, 0, axis)),
      e.shapeOf(flat),
      ...lengths.map((all) => piece(e, all, axis + 1, rank)),
    ];
    const target = shape.every(isStatic)
      ? e.int64(shape)
      : e.concat(
          pieces.filter((part) => part !== undefined),
          0,
        );
    const updates = ctx.shape(indices).length === 1 ? dy : e.reshape(dy, target);
    const spread = e.node('Expand', [column, target]);
    const zeros = e.zerosLike(x);
    const dx = e.node('ScatterElements', [zeros, spread, updates], { axis, reduction: 'add' });
    return [e.assume(dx, ctx.shape(x))];
  },
});

/** Lengths `from` up to `to` of a shape; undefined for none. */
function piece(e: Emitter, lengths: Value, from: number, to: number): Value | undefined {
  return from < to ? e.slice(lengths, { starts: [from], ends: [to], axes: [0] }) : undefined;
}

/** The cotangent of the data of GatherND: of the data (for its shape), the indices and the cotangent of the result. */
export const GatherNDGradient = composite({
  op: 'GatherNDGradient',
  ...canonical,
  infer: likeInput,
  /** Picking from the numbers 0, 1, … in the shape of x tells where every element came from; there dy is added. */
  define(ctx) {
    const { e } = ctx;
    const [x, indices, dy] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const size = e.node('Size', [x]);
    const numbers = e.node('Range', [e.scalar(0, 'int64'), size, e.scalar(1, 'int64')]);
    const places = e.node('GatherND', [e.node('Reshape', [numbers, e.shapeOf(x)], { allowzero: 1 }), indices], {
      batch_dims: ctx.node.attributes.int('batch_dims'),
    });
    const flat = (value: typeof x) => e.reshape(value, [-1]);
    const inputs = [flat(e.zerosLike(x)), flat(places), flat(dy)];
    return [e.reshapeLike(e.node('ScatterElements', inputs, { axis: 0, reduction: 'add' }), x)];
  },
});

/** x where a condition holds, 0 elsewhere: the gradient of rectifiers. */
export const Mask = composite({
  op: 'Mask',
  ...canonical,
  infer: (ctx) => [{ dtype: ctx.dtype(1), shape: ctx.broadcast(ctx.shape(0), ctx.shape(1)) }],
  define: ({ e, input }) => [e.where(input(0), input(1), e.scalar(0, input(1)))],
});

/**
 * x a + b with one a and one b a channel, vectors along axis 1 of x, or x a without b: what normalizations over the batch do to
 * their input, and to its cotangent.
 */
export const ChannelAffine = composite({
  op: 'ChannelAffine',
  ...canonical,
  infer: likeInput,
  define({ e, input, has, shape }) {
    const scaled = scaleChannels(e, input(0), input(1), has(2) ? input(2) : undefined);
    return [e.assume(scaled, shape(input(0)))];
  },
});

/**
 * The states of c[t] = k[t] ⊙ c[t − 1] + a[t] before and after every step, as rows: of k and a, rows [time·batch, length], and the
 * state before the first step, [batch, length]; attributes `time`, and `reverse` for states that come from the last rows.
 */
export const LinearRecurrence = composite({
  op: 'LinearRecurrence',
  ...canonical,
  infer: (ctx) => [...likeInput(ctx), ...likeInput(ctx)],
  define: (ctx) => statesInSteps(ctx.e, linearRecurrenceOf(ctx)),
});
