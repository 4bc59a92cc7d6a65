// @tier user
export { FitError, type FitErrorCode } from './error.js';
export { encodeEvents, type TensorBoardEvent } from './logs/events.js';
export { metricText, progress, shortNumber, type ProgressOptions, type ProgressStream } from './logs/progress.js';
export type {
  Callback,
  Control,
  EndReason,
  EpochEvent,
  FitResult,
  Resumed,
  RunStart,
  StepEvent,
  ValidationEvent,
  ValidationPlace,
} from './loop/callback.js';
export type { Carry } from './loop/carried.js';
export { evaluate, type EvaluateOptions, type MetricValues } from './loop/evaluate.js';
export { fit } from './loop/fit.js';
export type { CurvePoint } from './loop/loss-curve.js';
export type { CheckpointOptions, CheckpointStore, FitOptions } from './loop/options.js';
export { skipLimit } from './loop/skip-limit.js';
export {
  accuracy,
  confusionMatrix,
  f1,
  topK,
  type ClassificationOptions,
  type F1Options,
} from './metrics/classification.js';
export {
  loss,
  perplexity,
  type Accumulator,
  type Metric,
  type MetricOptions,
  type MetricValue,
  type Observation,
} from './metrics/metric.js';
export { mae, r2 } from './metrics/regression.js';
export { tfjsCallbacks, type TfjsCallbacks, type TfjsCallbacksOptions } from './tfjs-callbacks.js';
export type { Outputs, Trainable, TrainableReport } from './trainable.js';
