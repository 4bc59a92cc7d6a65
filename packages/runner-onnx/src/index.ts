// @tier user
export { TrainingError, type TrainingErrorCode } from './error.js';
export type { ExecutionProvider, SessionOptions } from './execution-provider.js';
export type { Batch, BatchArray, BatchTensor } from './feeds.js';
export {
  gradcheck,
  type Gradcheck,
  type GradcheckOptions,
  type GradcheckParameter,
  type GradcheckVerdict,
} from './gradcheck/gradcheck.js';
export type { Evaluation } from './inference.js';
export { onnxDevice, type OnnxDevice } from './onnx-device.js';
export {
  TrainingSession,
  type BatchOptions,
  type ExportOptions,
  type StepResult,
  type TrainingSessionOptions,
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
