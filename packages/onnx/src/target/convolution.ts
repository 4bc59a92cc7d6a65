import { elementCount } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { inputConvolutionOf, weightConvolutionOf } from '../entry/window/canonical.js';
import { transposedConvolution, type InputConvolution } from '../entry/window/input-gradient.js';
import { atOffsets, CHANNELS_FIRST, CHANNELS_LAST, indicesOf, pad } from '../entry/window/offsets.js';
import {
  asWeights,
  productsOfGroups,
  type WeightConvolution,
  type WeightGradient,
} from '../entry/window/weight-gradient.js';
import { spatialAxes, TO_THE_END, windowExtent, type Channels, type PlacedWindows } from '../entry/window/windows.js';
import { Tensor } from '../model/tensor.js';
import { isStatic, productOfDims } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import { timesTransposed } from './products.js';
import type { Formulation } from './target.js';

/**
 * The fastest formulation on ONNX Runtime's CPU provider, in matrix products: a convolution that computes it (x and dy with
 * batch and channels swapped) takes 4 to 10 times as long, unless every channel is on its own. The crossovers were measured on the layers of LeNet, ResNet,
 * ResNeXt and MobileNet; near them the neighbours differ by a tenth.
 */
function chooseFormulation({ channels, windows }: WeightConvolution): WeightGradient {
  const { groups, inputs, outputs } = channels;
  const { kernel, output } = windows;
  if (groups > 1) return inputs === 1 ? swapped : productsOfGroups;
  if (isTiling(windows)) return patchProduct;
  if (elementCount(kernel) > MOST_OFFSETS) return columnProducts;
  const positions = productOfDims(output);
  // A matrix of weights for every sample would be larger than the sample.
  if (isStatic(positions) && positions < Math.max(inputs, outputs)) return summedByProduct;
  // One offset needs no gathering; rows of few channels are too short to be worth a product for each offset.
  if (kernel.every((length) => length === 1) || inputs <= 8) return gathered;
  return perOffset;
}

/** For larger kernels the number of nodes is not to grow with the number of offsets. */
const MOST_OFFSETS = 25;

/**
 * Where windows lie side by side, as in a layer of patches: every element is in one of them, so one product does,
 * [batch·positions, outputs]ᵀ · [batch·positions, inputs·offsets].
 */
const patchProduct: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const rank = windows.kernel.length;
  const pieces = windows.kernel.flatMap((length, i) => [Number(windows.output[i]), length]);
  const apart = e.reshape(x, [0, channels.inputs, ...pieces]);
  const axes = windows.kernel.map((_, i) => 2 + 2 * i);
  const patches = e.transpose(apart, [0, ...axes, 1, ...axes.map((axis) => axis + 1)]);
  const size = windows.kernel.reduce((product, length) => product * length, channels.inputs);
  const cotangent = e.transpose(dy, [0, ...Array.from({ length: rank }, (_, i) => 2 + i), 1]);
  const rows = (value: Value, length: number) => e.reshape(value, [-1, length]);
  return asWeights(e, convolution, e.gemm(rows(cotangent, channels.outputs), rows(patches, size), { transA: true }));
};

/** Whether the windows cover every element once, and sizes are known. */
function isTiling({ kernel, strides, dilations, begin, end, input, output }: PlacedWindows): boolean {
  return (
    isStaticShape(input) &&
    isStaticShape(output) &&
    [...begin, ...end].every((length) => length === 0) &&
    kernel.every(
      (length, i) => length > 1 && length === strides[i] && dilations[i] === 1 && input[i] === length * output[i],
    )
  );
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
  return inOrder(e, convolution, products);
};

/** The weights' shape for a matrix [outputs, inputs] an offset. */
function inOrder(e: Emitter, { channels, windows }: WeightConvolution, products: readonly Value[]): Value {
  const { kernel } = windows;
  const byOffset = e.reshape(e.concat(products, 1), [channels.outputs, ...kernel, channels.inputs]);
  return e.transpose(byOffset, [0, kernel.length + 1, ...kernel.map((_, i) => i + 1)]);
}

/** One product an offset, which sums over the batch too: [batch·positions, outputs]ᵀ · [batch·positions, inputs]. */
const summedByProduct: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const cotangent = e.reshape(channelsLast(e, dy), [-1, channels.outputs]);
  const products = atOffsets(e, channelsLast(e, x), windows, CHANNELS_LAST).map((part) =>
    e.gemm(cotangent, e.reshape(part, [-1, channels.inputs]), { transA: true }),
  );
  return inOrder(e, convolution, products);
};

/**
 * A convolution whose channels are the samples, windows as large as dy and offsets for positions: it sums over the batch
 * itself. With one input channel a group its groups are those of the original.
 */
const swapped: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  if (channels.groups > 1 && channels.inputs > 1) return productsOfGroups(e, convolution);
  const { kernel, strides, dilations, begin, end } = windows;
  const axes = spatialAxes(windows);
  const exchanged = [1, 0, ...axes];
  const turned = e.transpose(x, exchanged);
  const samples = channels.groups === 1 ? turned : e.reshape(turned, [1, -1, ...kernel.map(() => 0)]);
  const sums = e.node('Conv', [samples, e.transpose(dy, exchanged)], {
    group: channels.groups,
    pads: [...begin, ...end],
    strides: dilations,
    dilations: strides,
  });
  // Strides leave rows at the end that no window reaches, and with them offsets beyond the kernel.
  const stepping = kernel.flatMap((_, i) => (strides[i] > 1 ? [i] : []));
  const met =
    stepping.length === 0
      ? sums
      : e.slice(sums, {
          starts: stepping.map(() => 0),
          ends: stepping.map((i) => kernel[i]),
          axes: stepping.map((i) => axes[i]),
        });
  return asWeights(e, convolution, channels.groups === 1 ? e.transpose(met, exchanged) : met);
};

/** More indices than this are not worth their place in the model. */
const MOST_INDICES = 2 ** 21;

/**
 * All offsets gathered into one matrix a sample and group (im2col), [inputs·offsets, positions], and dy times it: four nodes,
 * however large the kernel. By a Gather with constant indices where sizes are known, else by slices.
 */
const columnProducts: WeightGradient = (e, convolution) => {
  const { dy, channels } = convolution;
  const { groups, inputs, outputs } = channels;
  const columns = columnsByGather(e, convolution);
  if (columns === undefined) return groups === 1 ? gathered(e, convolution) : productsOfGroups(e, convolution);
  const lead = groups === 1 ? [0] : [0, groups];
  const count = elementCount(convolution.windows.kernel);
  const cotangent = e.reshape(dy, [...lead, outputs, -1]);
  const products = timesTransposed(e, cotangent, e.reshape(columns, [...lead, inputs * count, -1]));
  return asWeights(e, convolution, e.reduceSum(products, [0]));
};

/** [batch, groups·inputs, offsets·positions], the offsets in row-major order; undefined where sizes are free. */
function columnsByGather(e: Emitter, { x, windows }: WeightConvolution): Value | undefined {
  if (isWhole(windows)) return x;
  const index = indexOfElements(windows);
  if (index === undefined) return undefined;
  const indices = indicesOf(windows.kernel).flatMap((offset) =>
    index.positions.map((position) => index.of(position, offset)),
  );
  return e.gather(e.reshape(pad(e, x, windows, CHANNELS_FIRST), [0, 0, -1]), tableOf(e, indices, 'columns'), 2);
}

/** Whether windows are of one element each, and all elements. */
function isWhole({ kernel, strides, input, output, begin, end }: PlacedWindows): boolean {
  return (
    isStaticShape(input) &&
    isStaticShape(output) &&
    [...begin, ...end].every((length) => length === 0) &&
    kernel.every((length, i) => length === 1 && strides[i] === 1 && input[i] === output[i])
  );
}

/** Where elements of windows are among the padded ones of a channel; undefined where sizes are free or the table too large. */
function indexOfElements({ kernel, strides, dilations, input, output, begin, end }: PlacedWindows):
  | {
      readonly positions: readonly (readonly number[])[];
      readonly of: (position: readonly number[], offset: readonly number[]) => number;
    }
  | undefined {
  if (!isStaticShape(input) || !isStaticShape(output)) return undefined;
  const count = elementCount(kernel);
  if (count * Number(productOfDims(output)) > MOST_INDICES) return undefined;
  const lengths = input.map((length, i) => length + begin[i] + end[i]);
  return {
    positions: indicesOf(output),
    of: (position, offset) =>
      position.reduce((flat, o, i) => flat * lengths[i] + o * strides[i] + offset[i] * dilations[i], 0),
  };
}

function tableOf(e: Emitter, indices: readonly number[], name: string): Value {
  e.allow(indices.length);
  return e.constant(Tensor.of('int32', [indices.length], Int32Array.from(indices)), name);
}

/**
 * All offsets gathered into rows of one matrix, [batch·positions, offsets·inputs], and dy as rows times it: one product, which
 * sums over the batch too. What is gathered are the channels of an element, which lie side by side.
 */
const rowProduct: WeightGradient = (e, convolution) => {
  const { x, dy, windows, channels } = convolution;
  const { groups, inputs, outputs } = channels;
  const index = indexOfElements(windows);
  if (groups > 1 || index === undefined) return columnProducts(e, convolution);
  const offsets = indicesOf(windows.kernel);
  const flat = (value: Value, count: number) => e.transpose(e.reshape(value, [0, count, -1]), [0, 2, 1]);
  const rows = (): Value => {
    if (isWhole(windows)) return flat(x, inputs);
    const indices = index.positions.flatMap((position) => offsets.map((offset) => index.of(position, offset)));
    // Padded first: ONNX Runtime's CUDA provider has a slow kernel where the channels come last.
    return e.gather(flat(pad(e, x, windows, CHANNELS_FIRST), inputs), tableOf(e, indices, 'rows'), 1);
  };
  const matrix = (value: Value, length: number) => e.reshape(value, [-1, length]);
  const product = e.gemm(matrix(flat(dy, outputs), outputs), matrix(rows(), offsets.length * inputs), { transA: true });
  const byOffset = e.transpose(e.reshape(product, [outputs, offsets.length, inputs]), [0, 2, 1]);
  return asWeights(e, convolution, byOffset);
};

/**
 * The cheapest in what it writes on a GPU. Columns have a product a sample, a matrix of weights each, which are summed:
 * with one position, as in the last layers of a ResNet over 32² pixels, these are outer products of 1.2 GB. One product of
 * rows writes transposes of dy and x instead, which are larger only where positions are many. A step of ResNet-18 over 32²
 * pixels takes 14.3 ms with this choice and 17.9 with columns alone, over 224² pixels 26.5 and 27.5 (measured on an H100).
 */
const leastTraffic: WeightGradient = (e, convolution) => {
  const { windows, channels } = convolution;
  const positions = productOfDims(windows.output);
  const weights = windows.kernel.reduce((product, length) => product * length, channels.inputs);
  return (isStatic(positions) && positions < weights ? rowProduct : columnProducts)(e, convolution);
};

function channelsLast(e: Emitter, x: Value): Value {
  const rank = x.shape?.length ?? 0;
  return e.transpose(x, [0, ...Array.from({ length: rank - 2 }, (_, i) => 2 + i), 1]);
}

/**
 * The cotangent of the input. With stride 1 it is a convolution again, of dy with the weights turned around, as well as the
 * transposed convolution that it is in general. ONNX Runtime's CPU provider computes either in one product a sample and spends
 * the rest on the elements of windows: those of dy, outputs · offsets · positions, ahead of the first, and those of the input,
 * inputs · offsets · positions, after the second, which reads them slower once they do not stay in the cache.
 */
function convolvedInputGradient(e: Emitter, convolution: InputConvolution): Value {
  const { windows } = convolution;
  const pads = (padding: readonly number[]) => padding.map((pad, i) => windowExtent(windows, i) - 1 - pad);
  const [begin, end] = [pads(windows.begin), pads(windows.end)];
  const stepsByOne = windows.strides.every((stride) => stride === 1);
  // Padding beyond the window has no counterpart in a convolution.
  return stepsByOne && [...begin, ...end].every((pad) => pad >= 0)
    ? convolveTurned(e, convolution, [...begin, ...end])
    : transposedConvolution(e, convolution);
}

/**
 * CPU time transposed and turned around, 3 × 3, stride 1, in ms (`npm run formulations`): 32 to 64 channels, 14²: 8.6 and
 * 10.4; 64 to 128, 14²: 6.4 and 7.2; 128 to 256, 14²: 10.6 and 11.7; but 64, 16²: 9.6 and 8.4; 128, 28²: 25.2 and 20.6.
 */
function isFasterTransposed({ channels, windows }: InputConvolution): boolean {
  const { groups, inputs, outputs } = channels;
  const positions = productOfDims(windows.output);
  return (
    groups === 1 &&
    inputs < outputs &&
    windows.kernel.some((length) => length > 1) &&
    isStatic(positions) &&
    inputs * positions <= MOST_IN_CACHE
  );
}

/** Elements of a sample of the input up to which a transposed convolution is the faster form. */
const MOST_IN_CACHE = 2 ** 16;

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

/** The gradients of convolutions with respect to the weights, as formulations. */
const ofWeights =
  (gradient: WeightGradient): Formulation =>
  (ctx) => [gradient(ctx.e, weightConvolutionOf(ctx))];

/** By the crossovers on ONNX Runtime's CPU provider. */
export const weightGradientByProducts = ofWeights((e, convolution) => chooseFormulation(convolution)(e, convolution));
export const weightGradientByColumns = ofWeights(columnProducts);
export const weightGradientByRows = ofWeights(rowProduct);
export const weightGradientForCuda = ofWeights(leastTraffic);
export const weightGradientByConvolution = ofWeights(swapped);
export const weightGradientByOffsets = ofWeights((e, convolution) =>
  convolution.channels.groups === 1 ? perOffset(e, convolution) : productsOfGroups(e, convolution),
);

/** The gradients with respect to the input: a convolution again where strides are 1, */
export const inputGradientByConvolution: Formulation = (ctx) => [
  convolvedInputGradient(ctx.e, inputConvolutionOf(ctx)),
];
/** or the faster of both on the CPU, */
export const inputGradientByProducts: Formulation = (ctx) => {
  const convolution = inputConvolutionOf(ctx);
  const write = isFasterTransposed(convolution) ? transposedConvolution : convolvedInputGradient;
  return [write(ctx.e, convolution)];
};
/** or the transposed convolution that it is, which cuDNN has as its gradient of the data. */
export const inputGradientByTransposed: Formulation = (ctx) => [transposedConvolution(ctx.e, inputConvolutionOf(ctx))];
