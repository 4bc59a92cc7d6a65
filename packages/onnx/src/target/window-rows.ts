import { elementCount } from '@adakit/core';
import { inputConvolutionOf, weightConvolutionOf } from '../entry/window/canonical.js';
import type { InputConvolution } from '../entry/window/input-gradient.js';
import { indicesOf } from '../entry/window/offsets.js';
import { asWeights, type WeightConvolution } from '../entry/window/weight-gradient.js';
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

/** Measured by `tools/bench/formulations.js`, with the figures in docs/onnx-pipeline.md. */
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
  const convolution = fixedConvolutionOf(ctx.node) ?? ctx.fail('its sizes are not known');
  const { windows, channels, batch } = convolution;
  const weights = weightRows(e, ctx.input(1), convolution);
  const rows = windowRows(e, ctx.input(0), convolution);
  const y = e.node('Gemm', [rows, weights, ctx.has(2) ? ctx.input(2) : undefined], { transB: 1 });
  return [fromRows(e, y, [batch, channels.outputs, ...windows.output])];
};

/** The cotangent of the weights by rows: [outputs, batch·positions] · [batch·positions, inputs·offsets]. */
function weightGradientOfRows(e: Emitter, given: WeightConvolution, convolution: FixedConvolution): Value {
  const { channels, windows } = convolution;
  const { inputs, outputs } = channels;
  const cotangent = e.transpose(e.reshape(given.dy, [0, outputs, -1]), [1, 0, 2]);
  const product = e.gemm(e.reshape(cotangent, [outputs, -1]), windowRows(e, given.x, convolution));
  if (isInOrderOfWeights(convolution)) return asWeights(e, given, product);
  const byOffset = e.reshape(product, [outputs, elementCount(windows.kernel), inputs]);
  return asWeights(e, given, e.transpose(byOffset, [0, 2, 1]));
}

/**
 * The cotangent of the input by rows. Where weights are in order, the cotangents of all elements of windows are one product,
 * [batch·positions, outputs] · [outputs, inputs·offsets], and a second one with zeros and ones adds what belongs to the same
 * element of the input. Else with stride 1 what each element of the input contributed to is gathered and multiplied, and with
 * other strides, where most of that would be zeros, the elements of windows are gathered and added.
 */
function inputGradientOfRows(e: Emitter, given: InputConvolution, convolution: FixedConvolution): Value {
  const { windows, channels, batch } = convolution;
  const { inputs, outputs } = channels;
  const offsets = elementCount(windows.kernel);
  const positions = elementCount(windows.output);
  const shape = [batch, inputs, ...windows.input];
  if (isInOrderOfWeights(convolution)) {
    const elements = e.gemm(toRows(e, given.dy, outputs), weightRows(e, given.weights, convolution));
    const apart = e.transpose(e.reshape(elements, [-1, positions, inputs, offsets]), [0, 2, 1, 3]);
    const sums = e.matMul(e.reshape(apart, [-1, positions * offsets]), owners(e, windows));
    return e.assume(e.reshape(sums, [-1, inputs, ...windows.input]), shape);
  }
  const byOffset = e.reshape(given.weights, [outputs, inputs, offsets]);
  if (windows.strides.every((stride) => stride === 1)) {
    const contributed = gatherRows(e, channelsLast(e, given.dy, outputs), windowsOfElements(windows), positions);
    const weights = e.reshape(e.transpose(byOffset, [2, 0, 1]), [offsets * outputs, inputs]);
    return fromRows(e, e.gemm(e.reshape(contributed, [-1, offsets * outputs]), weights), shape);
  }
  const elements = e.gemm(toRows(e, given.dy, outputs), weightRows(e, given.weights, convolution));
  const places = elementsOfWindows(windows);
  const parts = gatherRows(e, e.reshape(elements, [-1, positions * offsets, inputs]), places, positions * offsets);
  const sums = e.reduceSum(parts, [2]);
  return fromRows(e, sums, shape);
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
  const offsets = elementCount(windows.kernel);
  const last = channelsLast(e, x, channels.inputs);
  const isWhole = offsets === 1 && windows.strides.every((s) => s === 1) && isUnpadded(windows);
  if (isWhole) return e.reshape(last, [-1, channels.inputs]);
  const gathered = gatherRows(e, last, inputsOfWindows(windows), elementCount(windows.input));
  const ordered = isInOrderOfWeights(convolution) && offsets > 1 ? e.transpose(gathered, [0, 1, 3, 2]) : gathered;
  return e.reshape(ordered, [-1, channels.inputs * offsets]);
}

/** The weights as [outputs, …] with the columns of {@link windowRows}. */
function weightRows(e: Emitter, weights: Value, convolution: FixedConvolution): Value {
  const { inputs, outputs } = convolution.channels;
  const offsets = elementCount(convolution.windows.kernel);
  if (isInOrderOfWeights(convolution)) return e.reshape(weights, [outputs, inputs * offsets]);
  const byOffset = e.transpose(e.reshape(weights, [outputs, inputs, offsets]), [0, 2, 1]);
  return e.reshape(byOffset, [outputs, offsets * inputs]);
}

/** [batch, places, channels] of a value with channels first. */
function channelsLast(e: Emitter, x: Value, channels: number): Value {
  return e.transpose(e.reshape(x, [0, channels, -1]), [0, 2, 1]);
}

/** [batch·places, channels] of a value with channels first. */
function toRows(e: Emitter, x: Value, channels: number): Value {
  return e.reshape(channelsLast(e, x, channels), [-1, channels]);
}

/** A value with channels first, from a row a place. */
function fromRows(e: Emitter, rows: Value, shape: Shape): Value {
  const [, channels, ...spatial] = shape.map(Number);
  const apart = e.transpose(e.reshape(rows, [-1, elementCount(spatial), channels]), [0, 2, 1]);
  return e.assume(e.reshape(apart, [-1, channels, ...spatial]), shape);
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

function isUnpadded({ begin, end, input, output }: FixedWindows): boolean {
  return [...begin, ...end].every((pad) => pad === 0) && input.every((length, i) => length === output[i]);
}
