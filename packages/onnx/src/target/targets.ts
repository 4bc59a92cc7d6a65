import { inputConvolutionOf, weightConvolutionOf } from '../entry/window/canonical.js';
import { emptyWindows } from '../entry/window/windows.js';
import type { Node } from '../graph/node.js';
import type { DType } from '../model/dtype.js';
import { fastestInputGradient, fastestWeightGradient } from './convolution.js';
import { scatterByIndices, unpoolOrScatter } from './max-pool.js';
import { logSoftmaxInParts } from './softmax.js';
import type { Formulation, Target } from './target.js';

/*
 * What is known of every target. Only what has been measured stands here, with the figure; what has not is as on the CPU, on
 * which everything was measured first. Figures are of ONNX Runtime 1.30 on two cores, CUDA on one H100.
 */

const NEVER: readonly DType[] = [];
const FLOAT32: readonly DType[] = ['float32'];

/** A recurrent node as ONNX Runtime executes it: neither batch first nor in double precision. */
const timeFirst = ({ inputs, attributes }: Node) => inputs[0]?.dtype === 'float32' && attributes.int('layout', 0) === 0;

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

/**
 * By Where or by a product, as the target says. For the gradient of Relu over 32 × 64 × 32 × 32 elements, Where takes 9.0 ms
 * on the CPU, the product 0.78 (measured). The product is not the default: where the cotangent is infinite although it does
 * not count, as under √relu(x), it gives NaN for the 0 that PyTorch gives.
 */
const mask: Formulation = ({ e, input, target }) => {
  const [condition, x] = [input(0), input(1)];
  if (target.masks === 'multiply') return [e.mul(x, e.cast(condition, x.dtype ?? 'float32'))];
  return [e.where(condition, x, e.scalar(0, x))];
};

/**
 * The gradients of convolutions. The choice was measured on the CPU; with it CUDA and WebGPU train the networks they were
 * tried with to the same losses, and other forms were not compared there.
 */
const convolutions: Target['formulations'] = {
  'adakit::ConvInputGradient': (ctx) => [fastestInputGradient(ctx.e, inputConvolutionOf(ctx))],
  'adakit::ConvWeightGradient': (ctx) => [fastestWeightGradient(ctx.e, weightConvolutionOf(ctx))],
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
  partly: ONNX_RUNTIME,
  formulations: { ...convolutions, 'adakit::Mask': mask, 'adakit::MaxPoolGradient': unpoolOrScatter },
  masks: 'select',
  scalars: 'float64',
};

/** ONNX Runtime on an NVIDIA GPU. */
export const ortCuda: Target = {
  ...ortCpu,
  name: 'ort-cuda',
  provider: 'cuda',
  formulations: {
    ...ortCpu.formulations,
    // It has no kernel for MaxUnpool, which would run on the CPU: two copies down and one up each (measured).
    'adakit::MaxPoolGradient': scatterByIndices,
  },
};

/** ONNX Runtime on WebGPU. */
export const ortWebGpu: Target = {
  ...ortCpu,
  name: 'ort-webgpu',
  provider: 'webgpu',
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
    ...convolutions,
    'adakit::Mask': mask,
    LogSoftmax: logSoftmaxInParts,
    Sum: ({ e, node, input }) => [node.inputs.map((_, i) => input(i)).reduce((a, b) => e.add(a, b))],
  },
  // WGSL has no float64.
  scalars: 'float32',
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
  partly: { ...ONNX_RUNTIME, MaxPool: ({ outputs }) => outputs[1] === undefined, MaxUnpool: NEVER, Size: NEVER },
  formulations: {},
  masks: 'select',
  scalars: 'float32',
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
