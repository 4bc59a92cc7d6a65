// @tier user
export { TrainingError, type TrainingErrorCode } from './error.js';

export type { Batch, BatchArray, BatchTensor } from './feeds.js';
export {
  gradcheck,
  type Gradcheck,
  type GradcheckOptions,
  type GradcheckParameter,
  type GradcheckVerdict,
} from './gradcheck/gradcheck.js';
export type { Evaluation } from './inference.js';
export { cudaReport, type CudaDevice, type CudaPart, type CudaReport } from './native/cuda-report.js';
export { NativeError, type NativeErrorCode } from './native/native-error.js';
export type {
  ConfiguredProvider,
  CudaProvider,
  ExecutionProvider,
  ExecutionProviderName,
  WebGpuProvider,
} from './provider-options.js';
export type { RuntimeChoice } from './runtime/choose-runtime.js';
export type { RuntimeReport } from './runtime/report.js';
export type { SessionOptions } from './runtime/runtime.js';
export { onnxDevice, type OnnxDevice } from './onnx-device.js';
export type { TrainingSessionOptions } from './training-options.js';
export {
  TrainingSession,
  type AbortOptions,
  type BatchOptions,
  type StateOptions,
  type ExportOptions,
  type StepResult,
  type StepsOptions,
  type WeightsOptions,
} from './training-session.js';
export {
  bceWithLogits,
  cosineDistance,
  crossEntropy,
  ctc,
  graphLoss,
  huber,
  klDivergence,
  l1,
  mse,
  nll,
  OnnxError,
  outputLoss,
  readModel,
  regularized,
  smoothL1,
  weightedSum,
  type CtcOptions,
  type GraphLossOptions,
  type KlDivergenceOptions,
  type Loss,
  type LossOptions,
  type ParameterFilter,
} from '@adakit/onnx';
export { writeArtifacts, type WriteArtifactsOptions } from './artifacts/write-artifacts.js';
