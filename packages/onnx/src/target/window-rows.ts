import { elementCount } from '@adakit/core';
import { axesFrom } from '../entry/standardize.js';
import { inputConvolutionOf, weightConvolutionOf } from '../entry/window/canonical.js';
import type { InputConvolution } from '../entry/window/input-gradient.js';
import { indicesOf } from '../entry/window/offsets.js';
import type { WeightConvolution } from '../entry/window/weight-gradient.js';
import { spatialAxes } from '../entry/window/windows.js';
import type { Emitter } from '../graph/emitter.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import { inputGradientByProducts, weightGradientByProducts } from './convolution.js';
import { asFixed, fixedConvolutionOf, type FixedConvolution, type FixedWindows } from './fixed-convolution.js';
import type { Formulation } from './target.js';

/*
 * Convolutions and their gradients as one product over the batch and all positions, of a matrix whose rows are windows
 * (im2col). ONNX Runtime's CPU provider computes a convolution as a product a sample, whose columns are the positions: with
 * few of them, as deep in a network, most of its vectors are idle and weights are packed again for every sample. Forward and
 * the gradient of the weights take the same matrix, which is computed once.
 */

/** Positions up to which rows are the faster form. */
const MOST_POSITIONS = 64;

/** Offsets up to which the matrix of windows is worth its memory. */
const MOST_OFFSETS = 25;

/** Channels from which copying those of an element is faster than copying elements. */
const LEAST_CHANNELS = 16;

/** What a batch that is free is taken for. */
const TYPICAL_BATCH = 32;

/** Whether a Conv node is faster by rows than as it is. Constant weights the runtime rearranges for its own kernel. */
export function isRowConvolution(node: Node): boolean {
  const convolution = node.inputs[1]?.tensor === undefined ? fixedConvolutionOf(node) : undefined;
  return convolution !== undefined && isWorthRows(convolution);
}

/** Whether a Conv node can be computed by rows. */
export function hasRows(node: Node): boolean {
  return fixedConvolutionOf(node) !== undefined;
}

/** Measured by `npm run formulations`, with the figures in docs/onnx-pipeline.md. */
function isWorthRows({ windows, channels }: FixedConvolution): boolean {
  return (
    elementCount(windows.output) <= MOST_POSITIONS &&
    elementCount(windows.kernel) <= MOST_OFFSETS &&
    Math.min(channels.inputs, channels.outputs) >= LEAST_CHANNELS
  );
}

/**
 * Whether the columns of the matrix are in the order of the weights, channels before offsets: then the elements of windows
 * have to be put in order one by one, else those of the weights. Whatever is smaller; and the product with
 * {@link owners}, which takes elements · 2 / outputs of the time of the others, is to stay a small part.
 */
function isInOrderOfWeights({ windows, channels, batch }: FixedConvolution): boolean {
  const rows = elementCount(windows.output) * (isStatic(batch) ? batch : TYPICAL_BATCH);
  return channels.outputs > Math.max(rows, 4 * elementCount(windows.input));
}

/** Conv by rows: [batch·positions, inputs·offsets] · [inputs·offsets, outputs]. */
export const convolutionByRows: Formulation = (ctx) => {
  const { e } = ctx;
  const { convolution, weights } = reaching(
    e,
    fixedConvolutionOf(ctx.node) ?? ctx.fail('its sizes are not known'),
    ctx.input(1),
  );
  const { windows, channels, batch } = convolution;
  const rows = windowRows(e, ctx.input(0), convolution);
  const y = e.node('Gemm', [rows, weightRows(e, weights, convolution), ctx.has(2) ? ctx.input(2) : undefined], {
    transB: 1,
  });
  return [fromRows(e, y, [batch, channels.outputs, ...windows.output])];
};

/** The cotangent of the weights by rows: [outputs, batch·positions] · [batch·positions, inputs·offsets]. */
function weightGradientOfRows(e: Emitter, given: WeightConvolution, whole: FixedConvolution): Value {
  const { convolution, offsets } = reach(whole);
  const { channels, windows } = convolution;
  const { inputs, outputs } = channels;
  const product = e.gemm(toRows(e, given.dy, outputs), windowRows(e, given.x, convolution), { transA: true });
  const shape = [outputs, inputs, ...windows.kernel];
  const gradient = isInOrderOfWeights(convolution) ? e.reshape(product, shape) : fromRows(e, product, shape);
  if (offsets === undefined) return gradient;
  const spread = e.gemm(e.reshape(gradient, [-1, offsets.length]), selection(e, whole, offsets));
  return e.reshape(spread, [outputs, inputs, ...whole.windows.kernel]);
}

/**
 * The cotangent of the input by rows. Where weights are in order, the cotangents of all elements of windows are one product,
 * [batch·positions, outputs] · [outputs, inputs·offsets], and a second one with zeros and ones adds what belongs to the same
 * element of the input. Else with stride 1 what each element of the input contributed to is gathered and multiplied, and with
 * other strides, where most of that would be zeros, the elements of windows are gathered and added.
 */
function inputGradientOfRows(e: Emitter, given: InputConvolution, whole: FixedConvolution): Value {
  const { convolution, weights } = reaching(e, whole, given.weights);
  const { windows, channels, batch } = convolution;
  const { inputs, outputs } = channels;
  const offsets = elementCount(windows.kernel);
  const positions = elementCount(windows.output);
  const shape = [batch, inputs, ...windows.input];
  const dy = () => toRows(e, given.dy, outputs);
  if (isWhole(windows)) return fromRows(e, e.gemm(dy(), weightRows(e, weights, convolution)), shape);
  if (isInOrderOfWeights(convolution)) {
    const elements = e.gemm(dy(), weightRows(e, weights, convolution));
    const apart = e.transpose(e.reshape(elements, [-1, positions, inputs, offsets]), [0, 2, 1, 3]);
    const sums = e.matMul(e.reshape(apart, [-1, positions * offsets]), owners(e, windows));
    return e.assume(e.reshape(sums, [-1, inputs, ...windows.input]), shape);
  }
  if (windows.strides.every((stride) => stride === 1)) {
    const contributed = gatherRows(e, inPlaces(e, given.dy, outputs, positions), windowsOfElements(windows), positions);
    const byOffset = e.transpose(weights, [...spatialAxes(windows), 0, 1]);
    const product = e.gemm(
      e.reshape(contributed, [-1, offsets * outputs]),
      e.reshape(byOffset, [offsets * outputs, inputs]),
    );
    return fromRows(e, product, shape);
  }
  const elements = e.gemm(dy(), weightRows(e, weights, convolution));
  const places = elementsOfWindows(windows);
  const parts = gatherRows(e, e.reshape(elements, [-1, positions * offsets, inputs]), places, positions * offsets);
  return fromRows(e, e.reduceSum(parts, [2]), shape);
}

/**
 * A convolution whose kernel ends where nothing but padding is met any more, and which offsets of all are left where these are
 * fewer: one of nine in a window of 3 × 3 over one element.
 */
function reach(convolution: FixedConvolution): {
  readonly convolution: FixedConvolution;
  readonly offsets?: readonly number[];
} {
  const { windows } = convolution;
  const { kernel, strides, dilations, begin, end, input, output } = windows;
  const met = kernel.map((length, i) =>
    axesFrom(0, length).filter((offset) =>
      axesFrom(0, output[i]).some((position) => {
        const place = position * strides[i] + offset * dilations[i] - begin[i];
        return place >= 0 && place < input[i];
      }),
    ),
  );
  const first = met.map((offsets) => offsets[0] ?? 0);
  const last = met.map((offsets, i) => offsets.at(-1) ?? kernel[i] - 1);
  if (kernel.every((length, i) => first[i] === 0 && last[i] === length - 1)) return { convolution };
  const left = {
    ...windows,
    kernel: kernel.map((_, i) => last[i] - first[i] + 1),
    begin: begin.map((pad, i) => pad - first[i] * dilations[i]),
    end: end.map((pad, i) => pad - (kernel[i] - 1 - last[i]) * dilations[i]),
  };
  const offsets = indicesOf(left.kernel).map((offset) =>
    offset.reduce((flat, at, i) => flat * kernel[i] + first[i] + at, 0),
  );
  return { convolution: { ...convolution, windows: left }, offsets };
}

/** The same with the weights of the offsets that are left. */
function reaching(
  e: Emitter,
  whole: FixedConvolution,
  weights: Value,
): { readonly convolution: FixedConvolution; readonly weights: Value } {
  const { convolution, offsets } = reach(whole);
  if (offsets === undefined) return { convolution, weights };
  const { channels, windows } = convolution;
  const all = e.reshape(weights, [-1, elementCount(whole.windows.kernel)]);
  const taken = e.gemm(all, selection(e, whole, offsets), { transB: true });
  return { convolution, weights: e.reshape(taken, [channels.outputs, channels.inputs, ...windows.kernel]) };
}

/**
 * [offsets left, offsets of the kernel], a one where they are the same. A product with it takes and puts back single elements in
 * 0.6 and 0.4 of the time of Slice and Pad, which go through every one (512 × 512 × 3 × 3, one thread, measured).
 */
function selection(e: Emitter, { windows }: FixedConvolution, offsets: readonly number[]): Value {
  const count = elementCount(windows.kernel);
  const data = new Float32Array(offsets.length * count);
  for (const [row, offset] of offsets.entries()) data[row * count + offset] = 1;
  return e.constant(Tensor.of('float32', [offsets.length, count], data), 'selection');
}

/** Formulations of a gradient: by rows where they fit, otherwise another. */
const gradient =
  <Given extends InputConvolution | WeightConvolution>(
    givenOf: (ctx: Parameters<Formulation>[0]) => Given,
    byRows: (e: Emitter, given: Given, convolution: FixedConvolution) => Value,
  ) =>
  (fits: (convolution: FixedConvolution) => boolean, otherwise: Formulation): Formulation =>
  (ctx) => {
    const given = givenOf(ctx);
    const convolution = asFixed(given);
    return convolution !== undefined && fits(convolution) ? [byRows(ctx.e, given, convolution)] : otherwise(ctx);
  };
const inputGradient = gradient(inputConvolutionOf, inputGradientOfRows);
const weightGradient = gradient(weightConvolutionOf, weightGradientOfRows);

const always = () => true;

/** The gradients by rows where that is faster, as for Conv, */
export const inputGradientForCpu = inputGradient(isWorthRows, inputGradientByProducts);
export const weightGradientForCpu = weightGradient(isWorthRows, weightGradientByProducts);
/** or wherever it is possible. */
export const inputGradientByRows = inputGradient(always, inputGradientByProducts);
export const weightGradientByWindows = weightGradient(always, weightGradientByProducts);

/** A window a row: [batch·positions, offsets·inputs], or inputs·offsets where that is the order of the weights. */
function windowRows(e: Emitter, x: Value, convolution: FixedConvolution): Value {
  const { windows, channels } = convolution;
  if (isWhole(windows)) return toRows(e, x, channels.inputs);
  const offsets = elementCount(windows.kernel);
  const elements = inPlaces(e, x, channels.inputs, elementCount(windows.input));
  const gathered = gatherRows(e, elements, inputsOfWindows(windows), elementCount(windows.input));
  const ordered = isInOrderOfWeights(convolution) && offsets > 1 ? e.transpose(gathered, [0, 1, 3, 2]) : gathered;
  return e.reshape(ordered, [-1, channels.inputs * offsets]);
}

/** Weights [outputs, …] with the columns of {@link windowRows}. */
function weightRows(e: Emitter, weights: Value, convolution: FixedConvolution): Value {
  const { inputs, outputs } = convolution.channels;
  const ordered = isInOrderOfWeights(convolution) ? weights : channelsLast(e, weights);
  return e.reshape(ordered, [outputs, inputs * elementCount(convolution.windows.kernel)]);
}

/** [batch, …spatial, channels] of a value with channels first. */
function channelsLast(e: Emitter, x: Value): Value {
  const rank = x.shape?.length ?? 0;
  return e.transpose(x, [0, ...axesFrom(2, rank), 1]);
}

/** [batch, places, channels] of a value with channels first. */
function inPlaces(e: Emitter, x: Value, channels: number, places: number): Value {
  return e.reshape(channelsLast(e, x), [-1, places, channels]);
}

/** [batch·places, channels] of a value with channels first. */
function toRows(e: Emitter, x: Value, channels: number): Value {
  return e.reshape(channelsLast(e, x), [-1, channels]);
}

/** A value with channels first, from a row a place. */
function fromRows(e: Emitter, rows: Value, shape: Shape): Value {
  const [, channels, ...spatial] = shape.map(Number);
  const last = e.reshape(rows, [-1, ...spatial, channels]);
  return e.assume(e.transpose(last, [0, shape.length - 1, ...axesFrom(1, shape.length - 1)]), shape);
}

/** Rows of [batch, places, channels] by a table of places, one of which, `nothing`, is a row of zeros. */
function gatherRows(e: Emitter, x: Value, table: Table, nothing: number): Value {
  const indices = table.flat().map((place) => place ?? nothing);
  const padded = indices.includes(nothing) ? e.node('Pad', [x, e.int64([0, 0, 0, 0, 1, 0])]) : x;
  e.allow(indices.length);
  const dims = [table.length, table[0].length];
  return e.gather(padded, e.constant(Tensor.of('int32', dims, Int32Array.from(indices)), 'places'), 1);
}

/** Rows of equal length; undefined stands for zeros. */
type Table = readonly (readonly (number | undefined)[])[];

/** For every position and offset, which element of the input that is; undefined for padding. */
function inputsOfWindows({ kernel, strides, dilations, begin, input, output }: FixedWindows): Table {
  const offsets = indicesOf(kernel);
  return indicesOf(output).map((position) =>
    offsets.map((offset) => {
      const place = position.map((o, i) => o * strides[i] + offset[i] * dilations[i] - begin[i]);
      const isInside = place.every((at, i) => at >= 0 && at < input[i]);
      return isInside ? place.reduce((flat, at, i) => flat * input[i] + at, 0) : undefined;
    }),
  );
}

/** For every element of the input and offset, which position meets it there. */
function windowsOfElements(windows: FixedWindows): Table {
  const found = Array.from({ length: elementCount(windows.input) }, () =>
    new Array<number | undefined>(elementCount(windows.kernel)).fill(undefined),
  );
  inputsOfWindows(windows).forEach((row, position) => {
    row.forEach((place, offset) => {
      if (place !== undefined) found[place][offset] = position;
    });
  });
  return found;
}

/** For every element of the input, which elements of windows it is, counted over positions and offsets. */
function elementsOfWindows(windows: FixedWindows): Table {
  const found = Array.from({ length: elementCount(windows.input) }, (): (number | undefined)[] => []);
  inputsOfWindows(windows).forEach((row, position) => {
    row.forEach((place, offset) => {
      if (place !== undefined) found[place].push(position * row.length + offset);
    });
  });
  const most = Math.max(1, ...found.map((places) => places.length));
  return found.map((places) => [...places, ...new Array<undefined>(most - places.length).fill(undefined)]);
}

/** [positions·offsets, places], a one where an element of a window is that of the input. */
function owners(e: Emitter, windows: FixedWindows): Value {
  const places = elementCount(windows.input);
  const elements = inputsOfWindows(windows).flat();
  const data = new Float32Array(elements.length * places);
  elements.forEach((place, element) => {
    if (place !== undefined) data[element * places + place] = 1;
  });
  e.allow(data.length);
  return e.constant(Tensor.of('float32', [elements.length, places], data), 'owners');
}

/** Whether windows are of one element each, and all elements. */
function isWhole({ kernel, strides, begin, end, input, output }: FixedWindows): boolean {
  return (
    elementCount(kernel) === 1 &&
    strides.every((stride) => stride === 1) &&
    [...begin, ...end].every((pad) => pad === 0) &&
    input.every((length, i) => length === output[i])
  );
}
