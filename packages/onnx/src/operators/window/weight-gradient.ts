import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { isStatic, productOfDims } from '../../shape/dim.js';
import { TO_THE_END, windowExtent, type Channels, type PlacedWindows } from './windows.js';

/** A convolution y = x ∗ w, as seen from the gradient of w. */
interface Convolution {
  /** [batch, groups·inputs, …spatial] */
  readonly x: Value;
  readonly channels: Channels;
  readonly windows: PlacedWindows;
  /** The cotangent of y, [batch, groups·outputs, …positions]. */
  readonly dy: Value;
}

/** A way to compute the cotangent of the weights, [groups·outputs, inputs, …kernel]. */
type Formulation = (e: Emitter, convolution: Convolution) => Value;

/**
 * The cotangent of the weights of a convolution: for every offset in the kernel, the product of dy with the elements of
 * x that this offset of the windows meets, summed over batch and positions. A convolution that computes it (x and dy
 * with batch and channels swapped) takes ONNX Runtime several times as long as matrix products, unless every channel
 * is on its own.
 */
export function weightGradient(e: Emitter, convolution: Convolution): Value {
  return chooseFormulation(convolution)(e, convolution);
}

/**
 * The fastest formulation on ONNX Runtime's CPU provider. The crossovers were measured on the layers of LeNet, ResNet,
 * ResNeXt and MobileNet; near them the neighbours differ by a tenth.
 */
function chooseFormulation({ channels, windows: { kernel, output } }: Convolution): Formulation {
  const { groups, inputs, outputs } = channels;
  if (groups > 1) return inputs === 1 ? depthwise : grouped;
  const positions = productOfDims(output);
  // A matrix of weights for every sample would be larger than the sample.
  if (isStatic(positions) && positions < Math.max(inputs, outputs)) return summedByProduct;
  // One offset needs no gathering; rows of few channels are too short to be worth a product for each offset.
  if (kernel.every((length) => length === 1) || inputs <= 8) return gathered;
  return perOffset;
}

/** All offsets gathered into one matrix a sample (im2col), [offsets·inputs, positions], times dyᵀ. */
const gathered: Formulation = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const { inputs, outputs } = channels;
  const rows = atOffsets(e, x, windows, CHANNELS_FIRST).map((part) => e.reshape(part, [0, inputs, -1]));
  const columns = e.concat(rows, 1);
  const cotangent = e.reshape(dy, [0, outputs, -1]);
  const count = rows.length;
  // The product wants one side transposed: the smaller one.
  if (count * inputs < outputs) {
    const sum = e.reduceSum(e.matMul(cotangent, e.matrixTranspose(columns)), [0]);
    return asWeights(e, convolution, e.transpose(e.reshape(sum, [outputs, count, inputs]), [0, 2, 1]));
  }
  const sum = e.reduceSum(e.matMul(columns, e.matrixTranspose(cotangent)), [0]);
  return asWeights(e, convolution, e.transpose(e.reshape(sum, [count, inputs, outputs]), [2, 1, 0]));
};

/** One product a sample and offset: [outputs, positions] · [positions, inputs]. */
const perOffset: Formulation = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const cotangent = e.reshape(dy, [0, channels.outputs, -1]);
  const products = atOffsets(e, channelsLast(e, x), windows, CHANNELS_LAST).map((part) =>
    e.reduceSum(e.matMul(cotangent, e.reshape(part, [0, -1, channels.inputs])), [0]),
  );
  return asWeights(e, convolution, stack(e, products, 2));
};

/** One product an offset, which sums over the batch too: [batch·positions, outputs]ᵀ · [batch·positions, inputs]. */
const summedByProduct: Formulation = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const cotangent = e.reshape(channelsLast(e, dy), [-1, channels.outputs]);
  const products = atOffsets(e, channelsLast(e, x), windows, CHANNELS_LAST).map((part) =>
    e.gemm(cotangent, e.reshape(part, [-1, channels.inputs]), { transA: true }),
  );
  return asWeights(e, convolution, stack(e, products, 2));
};

/** One product a sample, group and offset: [inputs, positions] · [positions, outputs]. */
const grouped: Formulation = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const { groups, inputs, outputs } = channels;
  const cotangent = e.matrixTranspose(e.reshape(dy, [0, groups, outputs, -1]));
  const products = atOffsets(e, x, windows, CHANNELS_FIRST).map((part) =>
    e.reduceSum(e.matMul(e.reshape(part, [0, groups, inputs, -1]), cotangent), [0]),
  );
  return asWeights(e, convolution, e.transpose(stack(e, products, 1), [0, 3, 2, 1]));
};

/**
 * With one input channel a group, a convolution whose channels are the samples, windows as large as dy and offsets for
 * positions: it sums over the batch itself, and its groups are those of the original.
 */
const depthwise: Formulation = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const { kernel, strides, dilations, begin, end } = windows;
  const spatialAxes = kernel.map((_, i) => 2 + i);
  const swapped = [1, 0, ...spatialAxes];
  const samples = e.reshape(e.transpose(x, swapped), [1, -1, ...kernel.map(() => 0)]);
  const sums = e.node('Conv', [samples, e.transpose(dy, swapped)], {
    group: channels.groups,
    pads: [...begin, ...end],
    strides: dilations,
    dilations: strides,
  });
  // Strides leave rows at the end that no window reaches, and with them offsets beyond the kernel.
  const axes = kernel.flatMap((_, i) => (strides[i] > 1 ? [i] : []));
  const met =
    axes.length === 0
      ? sums
      : e.slice(sums, {
          starts: axes.map(() => 0),
          ends: axes.map((i) => kernel[i]),
          axes: axes.map((i) => spatialAxes[i]),
        });
  return asWeights(e, convolution, met);
};

/** The weights' shape for elements that are in their order already. */
function asWeights(e: Emitter, { channels, windows }: Convolution, x: Value): Value {
  return e.reshape(x, [channels.groups * channels.outputs, channels.inputs, ...windows.kernel]);
}

/** The axis at which the spatial ones begin. */
const CHANNELS_FIRST = 2;
const CHANNELS_LAST = 1;

function channelsLast(e: Emitter, x: Value): Value {
  const rank = x.shape?.length ?? 0;
  return e.transpose(x, [0, ...Array.from({ length: rank - 2 }, (_, i) => 2 + i), 1]);
}

/** For every offset in the kernel, in row-major order, the elements of x that it meets: as many as there are windows. */
function atOffsets(e: Emitter, x: Value, windows: PlacedWindows, firstAxis: number): readonly Value[] {
  const padded = pad(e, x, windows, firstAxis);
  const { kernel, strides, dilations } = windows;
  const axes = kernel.flatMap((length, i) => (length > 1 || strides[i] > 1 ? [i] : []));
  if (axes.length === 0) return [padded];
  return offsetsOf(kernel).map((offset) =>
    e.slice(padded, {
      starts: axes.map((i) => offset[i] * dilations[i]),
      // Counted from the end, so that the length may be free.
      ends: axes.map((i) => offset[i] * dilations[i] + 1 - windowExtent(windows, i) || TO_THE_END),
      axes: axes.map((i) => firstAxis + i),
      steps: axes.map((i) => strides[i]),
    }),
  );
}

function pad(e: Emitter, x: Value, { begin, end }: PlacedWindows, firstAxis: number): Value {
  if ([...begin, ...end].every((length) => length === 0)) return x;
  const rank = begin.length + 2;
  const spread = (lengths: readonly number[]) => {
    const pads = new Array<number>(rank).fill(0);
    lengths.forEach((length, i) => (pads[firstAxis + i] = length));
    return pads;
  };
  return e.node('Pad', [x, e.int64([...spread(begin), ...spread(end)])]);
}

function offsetsOf(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (heads, length) => heads.flatMap((head) => Array.from({ length }, (_, i) => [...head, i])),
    [[]],
  );
}

function stack(e: Emitter, parts: readonly Value[], axis: number): Value {
  return e.concat(
    parts.map((part) => e.unsqueeze(part, [axis])),
    axis,
  );
}
