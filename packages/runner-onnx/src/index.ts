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
export { onnxRunner } from './onnx-runner.js';
export {
  TrainingSession,
  type Evaluation,
  type ExportOptions,
  type StepResult,
  type TrainingSessionOptions,
} from './training-session.js';
export {
  bceWithLogits,
  cosineDistance,
  crossEntropy,
  ctc,
  graphLoss,
  huber,
  l1,
  mse,
  nll,
  OnnxError,
  outputLoss,
  readModel,
  regularized,
  weightedSum,
  type CtcOptions,
  type GraphLossOptions,
  type Loss,
  type LossOptions,
  type ParameterFilter,
} from '@adakit/onnx';
