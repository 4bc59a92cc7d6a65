export { TrainingError, type TrainingErrorCode } from './error.js';
export type { ExecutionProvider, SessionOptions } from './execution-provider.js';
export type { Batch, BatchArray, BatchTensor } from './feeds.js';
export { onnxRunner } from './onnx-runner.js';
export { TrainingSession, type Evaluation, type StepResult, type TrainingSessionOptions } from './training-session.js';
export { crossEntropy, mse, OnnxError, type Loss, type LossOptions, type ParameterFilter } from '@adakit/onnx';
