import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { stack } from '../entry/stack.js';
import { transposedConvolution, type InputConvolution } from '../entry/window/input-gradient.js';
import { atOffsets, CHANNELS_FIRST, CHANNELS_LAST } from '../entry/window/offsets.js';
import {
  asWeights,
  productsOfGroups,
  type WeightConvolution,
  type WeightGradient,
} from '../entry/window/weight-gradient.js';
import { spatialAxes, TO_THE_END, windowExtent, type Channels, type PlacedWindows } from '../entry/window/windows.js';
import { isStatic, productOfDims } from '../shape/dim.js';

/**
 * The cotangent of the weights in matrix products, in the form that is fastest on ONNX Runtime's CPU provider. A convolution
 * that computes it (x and dy with batch and channels swapped) takes 4 to 10 times as long (measured, 1.30), unless every
 * channel is on its own.
 */
export function fastestWeightGradient(e: Emitter, convolution: WeightConvolution): Value {
  return chooseFormulation(convolution)(e, convolution);
}

/**
 * The fastest formulation on ONNX Runtime's CPU provider. The crossovers were measured on the layers of LeNet, ResNet,
 * ResNeXt and MobileNet; near them the neighbours differ by a tenth.
 */
function chooseFormulation({ channels, windows: { kernel, output } }: WeightConvolution): WeightGradient {
  const { groups, inputs, outputs } = channels;
  if (groups > 1) return inputs === 1 ? depthwise : productsOfGroups;
  const positions = productOfDims(output);
  // A matrix of weights for every sample would be larger than the sample.
  if (isStatic(positions) && positions < Math.max(inputs, outputs)) return summedByProduct;
  // One offset needs no gathering; rows of few channels are too short to be worth a product for each offset.
  if (kernel.every((length) => length === 1) || inputs <= 8) return gathered;
  return perOffset;
}

/** All offsets gathered into one matrix a sample (im2col), [offsets·inputs, positions], times dyᵀ. */
const gathered: WeightGradient = (e, convolution) => {
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
const perOffset: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const cotangent = e.reshape(dy, [0, channels.outputs, -1]);
  const products = atOffsets(e, channelsLast(e, x), windows, CHANNELS_LAST).map((part) =>
    e.reduceSum(e.matMul(cotangent, e.reshape(part, [0, -1, channels.inputs])), [0]),
  );
  return asWeights(e, convolution, stack(e, products, 2));
};

/** One product an offset, which sums over the batch too: [batch·positions, outputs]ᵀ · [batch·positions, inputs]. */
const summedByProduct: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const cotangent = e.reshape(channelsLast(e, dy), [-1, channels.outputs]);
  const products = atOffsets(e, channelsLast(e, x), windows, CHANNELS_LAST).map((part) =>
    e.gemm(cotangent, e.reshape(part, [-1, channels.inputs]), { transA: true }),
  );
  return asWeights(e, convolution, stack(e, products, 2));
};

/**
 * With one input channel a group, a convolution whose channels are the samples, windows as large as dy and offsets for
 * positions: it sums over the batch itself, and its groups are those of the original.
 */
const depthwise: WeightGradient = (e, convolution) => {
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

function channelsLast(e: Emitter, x: Value): Value {
  const rank = x.shape?.length ?? 0;
  return e.transpose(x, [0, ...Array.from({ length: rank - 2 }, (_, i) => 2 + i), 1]);
}

/**
 * The cotangent of the input. With stride 1 it is a convolution again, of dy with the weights turned around, which takes ONNX
 * Runtime's CPU provider 1.3 to 1.7 times PyTorch's time, and the transposed convolution that it is in general 2.1 times
 * (measured, 1.30).
 */
export function fastestInputGradient(e: Emitter, convolution: InputConvolution): Value {
  const { windows } = convolution;
  const pads = (padding: readonly number[]) => padding.map((pad, i) => windowExtent(windows, i) - 1 - pad);
  const [begin, end] = [pads(windows.begin), pads(windows.end)];
  const stepsByOne = windows.strides.every((stride) => stride === 1);
  // Padding beyond the window has no counterpart in a convolution.
  return stepsByOne && [...begin, ...end].every((pad) => pad >= 0)
    ? convolveTurned(e, convolution, [...begin, ...end])
    : transposedConvolution(e, convolution);
}

function convolveTurned(
  e: Emitter,
  { weights, channels, windows, dy }: InputConvolution,
  pads: readonly number[],
): Value {
  const turned = spatialAxes(windows).filter((_, i) => windows.kernel[i] > 1);
  const flipped =
    turned.length === 0
      ? weights
      : e.slice(weights, {
          starts: turned.map(() => -1),
          ends: turned.map(() => -TO_THE_END),
          axes: turned,
          steps: turned.map(() => -1),
        });
  const { dilations } = windows;
  return e.node('Conv', [dy, swapChannels(e, flipped, channels, windows)], {
    dilations,
    group: channels.groups,
    pads,
  });
}

/** [groups·outputs, inputs, …] to [groups·inputs, outputs, …]: the two change places within each group. */
function swapChannels(
  e: Emitter,
  weights: Value,
  { groups, inputs, outputs }: Channels,
  windows: PlacedWindows,
): Value {
  const axes = spatialAxes(windows);
  if (groups === 1) return e.transpose(weights, [1, 0, ...axes]);
  if (inputs === 1 && outputs === 1) return weights;
  const grouped = e.reshape(weights, [groups, outputs, inputs, ...windows.kernel]);
  const swapped = e.transpose(grouped, [0, 2, 1, ...axes.map((axis) => axis + 1)]);
  return e.reshape(swapped, [groups * inputs, outputs, ...windows.kernel]);
}
