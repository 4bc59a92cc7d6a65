import { requireObject } from '../given.js';
import { emptyWindows } from '../entry/window/windows.js';
import type { Node } from '../graph/node.js';
import type { DType } from '../model/dtype.js';
import { isUnblockedConvolution } from './blocked.js';
import { affineByProduct, channelAffineForCpu } from './channel-affine.js';
import {
  inputGradientByConvolution,
  inputGradientByTransposed,
  weightGradientByProducts,
  weightGradientForCuda,
} from './convolution.js';
import { CUDA_KERNELS } from './cuda-kernels.js';
import { maskBoundedByProduct, maskBySelection } from './mask.js';
import { scatterByIndices, unpoolOrScatter } from './max-pool.js';
import { recurrenceByScan, recurrenceInSteps } from './recurrence.js';
import { FUSED_PRODUCT, fusedProduct, isPlainProduct } from './products.js';
import { logSoftmaxInParts } from './softmax.js';
import { isMatrixSum, isUncountedMean, meanBySum, sumInTurn } from './sums.js';
import type { Target } from './target.js';
import { convolutionByRows, inputGradientForCpu, isRowConvolution, weightGradientForCpu } from './window-rows.js';

/*
 * What is known of every target. Only what has been measured stands here, with the figure; what has not is as on the CPU, on
 * which everything was measured first. Figures are of ONNX Runtime 1.30 on two cores, CUDA on one H100.
 */

const NEVER: readonly DType[] = [];
const FLOAT32: readonly DType[] = ['float32'];

/** A recurrent node as ONNX Runtime executes it: neither batch first nor in double precision. */
const timeFirst = ({ inputs, attributes }: Node) => inputs[0]?.dtype !== 'float64' && attributes.int('layout', 0) === 0;

/** Operators of opset 18 that ONNX Runtime does not execute, or not in every form or in double precision. */
const ONNX_RUNTIME: Target['partly'] = {
  CastLike: NEVER,
  ConvTranspose: (node) => emptyWindows(node).every((count) => count === 0),
  GRU: timeFirst,
  GlobalLpPool: FLOAT32,
  GridSample: FLOAT32,
  GroupNormalization: NEVER,
  InstanceNormalization: FLOAT32,
  LRN: FLOAT32,
  LSTM: timeFirst,
  LpPool: FLOAT32,
  MeanVarianceNormalization: FLOAT32,
  Mish: FLOAT32,
  NegativeLogLikelihoodLoss: NEVER,
  RNN: timeFirst,
  Resize: FLOAT32,
  SoftmaxCrossEntropyLoss: NEVER,
};

/*
 * No target scatters with ScatterND and reduction add, although it wants an index a slice instead of one an element: on the
 * CPU it adds from several threads at once and loses additions where an index repeats (wrong sums in 5 to 20 of 30 runs,
 * measured).
 */

/** ONNX Runtime on the CPU: the default. */
export const ortCpu: Target = {
  name: 'ort-cpu',
  runtime: 'onnxruntime',
  provider: 'cpu',
  version: '1.30',
  partly: { ...ONNX_RUNTIME, Conv: (node) => !isRowConvolution(node), MatMul: isPlainProduct },
  // It has few kernels for float16 and computes the others in float32, between conversions of its own; none for bfloat16.
  halves: ['float16'],
  own: [FUSED_PRODUCT],
  formulations: {
    'adakit::ChannelAffine': channelAffineForCpu,
    'adakit::ConvInputGradient': inputGradientForCpu,
    'adakit::ConvWeightGradient': weightGradientForCpu,
    Conv: convolutionByRows,
    'adakit::LinearRecurrence': recurrenceByScan,
    'adakit::Mask': maskBoundedByProduct,
    'adakit::MaxPoolGradient': unpoolOrScatter,
    MatMul: fusedProduct,
  },
};

/** ONNX Runtime on an NVIDIA GPU. */
const ortCuda: Target = {
  ...ortCpu,
  name: 'ort-cuda',
  provider: 'cuda',
  // Of 1,961 launches a step of ResNet-18, 640 go, and a tenth of its time; with 4 and with 7 such parameters recorded steps
  // took 1.3 times as long together (measured).
  together: { elements: 2 ** 16, parameters: 16 },
  kernels: CUDA_KERNELS,
  halves: ['float16', 'bfloat16'],
  partly: { ...ONNX_RUNTIME, MatMul: isPlainProduct, ReduceMean: isUncountedMean, ReduceSum: isMatrixSum },
  formulations: {
    ...ortCpu.formulations,
    'adakit::ChannelAffine': affineByProduct,
    'adakit::LinearRecurrence': recurrenceInSteps,
    // cuDNN's gradient of the data.
    'adakit::ConvInputGradient': inputGradientByTransposed,
    // A launch for each offset of the kernel, as on the CPU, were 209 slices and 16 paddings a step of ResNet-18, the
    // paddings 7.7 of 31.4 ms in the kernel for channels that come last (measured); these are five or six launches a
    // convolution.
    'adakit::ConvWeightGradient': weightGradientForCuda,
    ReduceMean: meanBySum,
    ReduceSum: sumInTurn,
    // It has no kernel for MaxUnpool, which would run on the CPU: two copies down and one up each (measured).
    'adakit::MaxPoolGradient': scatterByIndices,
    // A comparison and a selection are two launches, a comparison, a conversion and a product three.
    'adakit::Mask': maskBySelection,
  },
};

/** ONNX Runtime on WebGPU. */
const ortWebGpu: Target = {
  ...ortCpu,
  name: 'ort-webgpu',
  provider: 'webgpu',
  halves: [],
  own: [],
  // It has no kernel for Scan, which would run on the CPU.
  writesOutLoops: true,
  partly: {
    ...ONNX_RUNTIME,
    // "The Indices output is not supported yet", at the first run (measured).
    MaxPool: ({ outputs }) => outputs[1] === undefined,
    // These run on the CPU: 13 copies took 13 of the 22 ms of a step of an MLP (measured).
    LogSoftmax: NEVER,
    Size: NEVER,
    Sum: NEVER,
  },
  formulations: {
    'adakit::ConvInputGradient': inputGradientByConvolution,
    'adakit::ConvWeightGradient': weightGradientByProducts,
    LogSoftmax: logSoftmaxInParts,
    Sum: ({ e, node, input }) => [node.inputs.map((_, i) => input(i)).reduce((a, b) => e.add(a, b))],
  },
};

/**
 * Standard operators that every provider has, in float32: no MaxUnpool, no Indices of MaxPool, no Size. Slower than the
 * formulations for one provider.
 */
export const portable: Target = {
  name: 'portable',
  runtime: 'any',
  provider: 'any',
  version: '1.30',
  own: [],
  partly: { ...ONNX_RUNTIME, MaxPool: ({ outputs }) => outputs[1] === undefined, MaxUnpool: NEVER, Size: NEVER },
  formulations: {},
};

/** The targets that graphs can be written for, by name. */
export const targets = {
  'ort-cpu': ortCpu,
  'ort-cuda': ortCuda,
  'ort-webgpu': ortWebGpu,
  portable,
} as const satisfies Readonly<Record<string, Target>>;

/** Names of {@link targets}. */
export type TargetName = keyof typeof targets;

/**
 * A target for graphs whose weights will be constants, though they are inputs while it is written: ONNX Runtime rearranges
 * constant weights for its own kernel of a convolution, which is faster then than a product over windows.
 */
export function withConstantWeights(target: Target): Target {
  requireObject('withConstantWeights(): options', target);
  requireObject('withConstantWeights(): partly', target.partly);
  const { Conv, ...partly } = target.partly;
  // A kernel that is lacking in part is lacking for constants, too.
  return Conv === ortCpu.partly.Conv || Conv === isUnblockedConvolution ? { ...target, partly } : target;
}
