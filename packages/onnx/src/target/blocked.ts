import { elementCount } from '@adakit/core';
import { inputConvolutionOf, weightConvolutionOf } from '../entry/window/canonical.js';
import type { Emitter } from '../graph/emitter.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { inputGradientByConvolution, weightGradientByProducts } from './convolution.js';
import { asFixed, fixedConvolutionOf, type FixedConvolution } from './fixed-convolution.js';
import type { Formulation, Target } from './target.js';
import { convolutionByRows, inputGradientForCpu, isRowConvolution, weightGradientForCpu } from './window-rows.js';

/*
 * Convolutions with channels in blocks, by operators of ONNX Runtime's own; with stride 1 the gradient of the input is one, too. Its
 * optimizer takes them where weights are constants; training feeds them, and puts them into blocks at every step, by the operator that
 * does so with inputs. They compute all samples and positions on all threads, and nothing is copied window by window.
 *
 * The gradient of the weights stays in products: as a convolution in blocks over the samples, which reads the whole cotangent
 * for every input channel, it takes 0.8 of the time while that stays in a core's cache, and 1.3 to 3 times as long once it does not.
 */

const REORDER_INPUT = 'com.microsoft.nchwc::ReorderInput';
const REORDER_OUTPUT = 'com.microsoft.nchwc::ReorderOutput';
const CONVOLUTION = 'com.microsoft.nchwc::Conv';

/** The operators that formulations in blocks use. */
const BLOCKED_OPERATORS: readonly string[] = [REORDER_INPUT, REORDER_OUTPUT, CONVOLUTION];

/** Channels of the longest blocks: those of AVX-512 and NEON have 16, of AVX 8. What divides into these divides into all. */
export const LONGEST_BLOCK = 16;

/** Whether a convolution can be computed in blocks: both axes of its weights are whole blocks. */
function fitsBlocks({ windows, channels }: FixedConvolution): boolean {
  return windows.kernel.length === 2 && channels.inputs % LONGEST_BLOCK === 0 && channels.outputs % LONGEST_BLOCK === 0;
}

/**
 * Whether that is the fastest form (`npm run formulations`, with the figures in docs/onnx-pipeline.md). Windows of one
 * element are a product of the input as it is. Few positions do not pay for weights being put into blocks, and with rows the
 * gradient of the weights shares the matrix of windows.
 */
function isWorthBlocks(convolution: FixedConvolution): boolean {
  const { windows, channels } = convolution;
  return (
    fitsBlocks(convolution) &&
    elementCount(windows.kernel) > 1 &&
    elementCount(windows.output) >= LEAST_POSITIONS &&
    channels.outputs * channels.inputs <= MOST_WEIGHTS_A_POSITION * elementCount(windows.output)
  );
}

const LEAST_POSITIONS = 36;

const MOST_WEIGHTS_A_POSITION = 2 ** 11;

/** Whether a Conv node is fastest in blocks. Constant weights ONNX Runtime puts into blocks itself, once. */
function isBlockedConvolution(node: Node): boolean {
  const convolution = node.inputs[1]?.tensor === undefined ? fixedConvolutionOf(node) : undefined;
  return convolution !== undefined && isWorthBlocks(convolution);
}

/** Whether a Conv node can be computed in blocks. */
export function hasBlocks(node: Node): boolean {
  const convolution = fixedConvolutionOf(node);
  return convolution !== undefined && fitsBlocks(convolution);
}

/** Conv in blocks, or by rows where that is not possible. */
export const convolutionInBlocks: Formulation = (ctx) => {
  const { e, node } = ctx;
  const convolution = fixedConvolutionOf(node);
  if (convolution === undefined || !fitsBlocks(convolution)) return convolutionByRows(ctx);
  const { windows, channels } = convolution;
  const { strides, dilations, begin, end } = windows;
  const y = e.node(
    CONVOLUTION,
    [e.node(REORDER_INPUT, [ctx.input(0)]), blockedWeights(e, ctx.input(1)), ctx.has(2) ? ctx.input(2) : undefined],
    { kernel_shape: windows.kernel, strides, dilations, pads: [...begin, ...end] },
  );
  return [e.node(REORDER_OUTPUT, [y], { channels: channels.outputs })];
};

/**
 * Weights in blocks, [outputs / block, inputs / block, …kernel, block, block] in memory: the inputs of each output into blocks,
 * and then, everything of an output being a position, the outputs.
 */
function blockedWeights(e: Emitter, weights: Value): Value {
  const [outputs, ...rest] = (weights.shape ?? []).map(Number);
  const byInputs = e.reshape(e.node(REORDER_INPUT, [weights]), [1, outputs, elementCount(rest), 1]);
  return e.reshape(e.node(REORDER_INPUT, [byInputs]), [outputs, ...rest]);
}

/** The gradient of the input: with stride 1 a convolution again, which is in blocks then. */
const inputGradientBesideBlocks: Formulation = (ctx) => {
  const given = inputConvolutionOf(ctx);
  const convolution = asFixed(given);
  const isConvolution = given.windows.strides.every((stride) => stride === 1);
  const isBlocked = isConvolution && convolution !== undefined && isWorthBlocks(convolution);
  return (isBlocked ? inputGradientByConvolution : inputGradientForCpu)(ctx);
};

/** The gradient of the weights: by rows where the convolution is, too, whose matrix of windows it shares. */
const weightGradientBesideBlocks: Formulation = (ctx) => {
  const convolution = asFixed(weightConvolutionOf(ctx));
  const isBlocked = convolution !== undefined && isWorthBlocks(convolution);
  return (isBlocked ? weightGradientByProducts : weightGradientForCpu)(ctx);
};

/** Conv in blocks or by rows, whichever is the faster of those that a node can have. */
const convolutionForCpu: Formulation = (ctx) =>
  (isBlockedConvolution(ctx.node) ? convolutionInBlocks : convolutionByRows)(ctx);

/**
 * A target of ONNX Runtime on the CPU with convolutions in blocks, for a machine where `blockProbe` has come out right. The
 * numbers are the same whatever the length of blocks there.
 */
export function withBlocks(target: Target): Target {
  return {
    ...target,
    own: [...target.own, ...BLOCKED_OPERATORS],
    partly: { ...target.partly, Conv: isUnblockedConvolution },
    formulations: {
      ...target.formulations,
      'adakit::ConvInputGradient': inputGradientBesideBlocks,
      'adakit::ConvWeightGradient': weightGradientBesideBlocks,
      Conv: convolutionForCpu,
    },
  };
}

/** Whether a Conv node is faster as it is than in blocks and by rows. */
export function isUnblockedConvolution(node: Node): boolean {
  return !isBlockedConvolution(node) && !isRowConvolution(node);
}
