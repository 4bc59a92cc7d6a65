import { elementCount } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { equalDims, multiplyDims } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import type { DefinitionContext, Operator } from '../entry/operator.js';
import { convolutionInputGradient } from '../entry/window/canonical.js';
import { padForCeil } from '../entry/window/idle-windows.js';
import { coverEverything, windowSums } from '../entry/window/sums.js';
import { poolWindows, requirePlaced, spatialAxes, type PlacedWindows } from '../entry/window/windows.js';

/**
 * The mean over each window. Padding counts as zeros with `count_include_pad` and not at all without; what a window
 * covers beyond the padding (with `ceil_mode`) never counts.
 */
export const AveragePool: Operator = {
  op: 'AveragePool',
  since: 11,
  followsHead: true,
  upgrade: padForCeil,
  infer(ctx) {
    const [batch, channels, ...spatial] = ctx.shape(0);
    return [{ dtype: ctx.commonDtype(1), shape: [batch, channels, ...poolWindows(ctx, spatial).output] }];
  },
  /** A mean is a convolution with ones, divided by how many elements count: dx is the transpose of that. */
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const windows = requirePlaced(ctx, poolWindows(ctx, ctx.shape(x).slice(2)));
    const size = elementCount(windows.kernel);
    const counts = elementCounts(ctx, windows, dy);
    const [shares, weight] = counts === undefined ? [dy, 1 / size] : [e.div(dy, counts), 1];
    if (isTiling(windows)) return [tile(e, shares, x, windows, weight)];
    // Every channel is treated alike, as one more sample.
    const samples = e.reshape(shares, e.concat([e.int64([-1, 1]), e.node('Shape', [shares], { start: 2 })], 0));
    e.assume(samples, [ctx.shape(samples)[0], 1, ...windows.output]);
    const weights = filled(e, [1, 1, ...windows.kernel], weight, dy);
    const dx = convolutionInputGradient(e, { weights, dy: samples, x, windows: coverEverything(windows) });
    return [e.reshapeLike(dx, x)];
  },
  /** Dilations came with opset 19. */
  beyondOpset: ({ attributes }) => attributes.ints('dilations')?.some((dilation) => dilation !== 1) === true,
  define(ctx) {
    const x = ctx.input(0);
    const windows = requirePlaced(ctx, poolWindows(ctx, ctx.shape(x).slice(2)));
    const sums = windowSums(ctx.e, x, windows);
    const counts = elementCounts(ctx, windows, sums);
    const size = elementCount(windows.kernel);
    return [counts === undefined ? ctx.e.scale(sums, 1 / size) : ctx.e.div(sums, counts)];
  },
};

/** A constant tensor with every element equal to `value`. */
function filled(e: Emitter, dims: readonly number[], value: number, like: Value): Value {
  e.allow(elementCount(dims));
  return e.constant(Tensor.filled(like.dtype ?? 'float32', dims, value), 'window');
}

/** Whether the windows lie side by side and cover every element once. */
function isTiling({ kernel, strides, dilations, begin, input, output }: PlacedWindows): boolean {
  return kernel.every(
    (length, i) =>
      length === strides[i] &&
      dilations[i] === 1 &&
      begin[i] === 0 &&
      equalDims(input[i], multiplyDims(output[i], length)),
  );
}

/** Repeats each element over its window: [.., n, m] to [.., n·length, m·width]. */
function tile(e: Emitter, dy: Value, x: Value, { kernel }: PlacedWindows, weight: number): Value {
  const spread = e.unsqueeze(
    dy,
    kernel.map((_, i) => 3 + 2 * i),
  );
  const window = filled(e, [1, 1, ...kernel.flatMap((length) => [1, length])], weight, dy);
  return e.reshapeLike(e.mul(spread, window), x);
}

/** More positions than this are counted when the graph runs instead of being stored in it. */
const MOST_COUNTS = 2 ** 20;

/**
 * How many elements count in each window, [1, 1, …positions]; undefined when it is the size of the window for all.
 *
 * @param like has the dtype and the positions
 */
function elementCounts(ctx: DefinitionContext, windows: PlacedWindows, like: Value): Value | undefined {
  const { e } = ctx;
  const { kernel, begin, end, input, output } = windows;
  const padded = [...begin, ...end].some((pad) => pad > 0);
  const includesPadding = ctx.node.attributes.int('count_include_pad', 0) === 1;
  const reachesBeyond = ctx.node.attributes.int('ceil_mode', 0) === 1;
  if ((includesPadding || !padded) && !reachesBeyond) return undefined;
  if (!isStaticShape(input) || !isStaticShape(output) || elementCount(output) > MOST_COUNTS) {
    return countAtRunTime(ctx, windows, includesPadding, like);
  }
  const axes = kernel.map((_, i) => {
    const [from, to] = includesPadding ? [0, begin[i] + input[i] + end[i]] : [begin[i], begin[i] + input[i]];
    e.allow(output[i] * kernel[i]);
    return Array.from({ length: output[i] }, (_, place) => countBetween(windows, i, place, from, to));
  });
  const counts = axes.reduce((outer, axis) => outer.flatMap((a) => axis.map((b) => a * b)), [1]);
  const size = elementCount(kernel);
  if (counts.every((count) => count === size)) return undefined;
  const tensor = Tensor.of('float32', [1, 1, ...output], Float32Array.from(counts));
  return e.cast(e.constant(tensor, 'window_counts'), like.dtype ?? 'float32');
}

/** How many positions in [from, to), counted in the padded input, the window at `place` covers. */
function countBetween(
  { kernel, strides, dilations }: PlacedWindows,
  axis: number,
  place: number,
  from: number,
  to: number,
) {
  const positions = Array.from({ length: kernel[axis] }, (_, k) => place * strides[axis] + k * dilations[axis]);
  return positions.filter((position) => position >= from && position < to).length;
}

/** The counts by convolving ones (padding: ones or zeros; beyond it: zeros) with ones, for free dimensions. */
function countAtRunTime(ctx: DefinitionContext, windows: PlacedWindows, includesPadding: boolean, like: Value): Value {
  const { e } = ctx;
  const x = ctx.input(0);
  const { kernel, strides, dilations, begin, end } = windows;
  const shape = e.concat([e.int64([1, 1]), e.node('Shape', [x], { start: 2 })], 0);
  const ones = e.node('Expand', [e.scalar(1, like), shape]);
  const pads = e.int64([0, 0, ...begin, 0, 0, ...end]);
  const padded = e.node('Pad', [ones, pads, e.scalar(includesPadding ? 1 : 0, like)]);
  const beyond = e.node('Pad', [
    padded,
    e.int64([0, 0, ...kernel.map(() => 0), 0, 0, ...strides.map((stride) => stride - 1)]),
  ]);
  const counts = e.node('Conv', [beyond, filled(e, [1, 1, ...kernel], 1, like)], { strides, dilations });
  const axes = spatialAxes(windows);
  const starts = e.int64(axes.map(() => 0));
  const cut = e.node('Slice', [counts, starts, e.node('Shape', [like], { start: 2 }), e.int64(axes)]);
  return e.assume(cut, [1, 1, ...windows.output]);
}
