export { AdakitError, closestName, type ErrorCode } from './errors.js';
export {
  Expression,
  Condition,
  mean,
  movingAverage,
  norm,
  oneMinus,
  scalar,
  sum,
  where,
  type InputName,
  type Kind,
  type Scalar,
  type Tensor,
} from './expression/expression.js';
export {
  isReduction,
  operation,
  operations,
  reduction,
  reductions,
  type OperationName,
  type ReductionName,
} from './expression/operations.js';
export { scalarOperands, type Instruction, type Program, type Slot } from './program/program.js';
export { printProgram } from './program/print.js';
export {
  defineOptimizer,
  type OptimizerFactory,
  type OptimizerSource,
  type Structure,
  type UpdateInputs,
  type UpdateOutputs,
} from './optimizer/define.js';
export {
  coefficient,
  decayRate,
  epsilon,
  flag,
  learningRate,
  nonNegative,
  positive,
  type FlagHyperparameter,
  type Hyperparameter,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
  type HyperparameterValues,
  type NumberHyperparameter,
} from './optimizer/hyperparameters.js';
export { Optimizer, type OptimizerSettings, type ParameterGroup, type Schedules } from './optimizer/optimizer.js';
export {
  cosine,
  exponential,
  linear,
  milestones,
  scheduleFactor,
  scheduleSchema,
  stepDecay,
  warmup,
  type Schedule,
} from './schedule/schedule.js';
export { interpret, type FloatArray, type Precision, type UpdateArrays } from './execution/interpreter.js';
export { compileLoop, type UpdateLoop } from './execution/loop.js';
export { evaluateScalars, type ScalarInputs } from './execution/scalars.js';
export {
  castTensor,
  copyTensor,
  elementCount,
  filled,
  sameShape,
  tensor32,
  tensor64,
  type DType,
  type NamedTensors,
  type TensorData,
} from './tensor/tensor-data.js';
export {
  optimizerState,
  optimizerStateSchema,
  restoreOptimizer,
  type GroupState,
  type OptimizerState,
  type ParameterState,
  type TrainingState,
} from './state/training-state.js';
export { mapState, mapTensor } from './state/layout.js';
export { inverseMappings, parseMappings, type ParameterMapping, type Part } from './state/parameter-mapping.js';
export {
  describeParameters,
  type LayerKind,
  type MatrixAxes,
  type ParameterDescription,
} from './state/parameter-description.js';
export { deriveMappings, type MappingHint } from './state/derive-mappings.js';
export { adaptState, type AdaptedState, type AdaptOptions } from './state/adapt.js';
export {
  formatAdaptReport,
  type AdaptedParameter,
  type AdaptedSlot,
  type AdaptReport,
  type ChangedHyperparameter,
} from './state/adapt-report.js';
export { StateFileError, type StateFileErrorCode } from './state-file/error.js';
export type { JsonObject, JsonValue } from './state-file/json.js';
export type { StateDocument } from './state-file/document.js';
export { loadTensor, storeTensor, type StoredDType, type StoredTensor } from './state-file/stored-tensor.js';
export {
  decodeState,
  decodeTensors,
  encodeState,
  encodeTensors,
  type DecodeOptions,
  type EncodeOptions,
  type TensorFile,
} from './state-file/state-file.js';
export type { Run, Runner, Stateful } from './runner/runner.js';
export { checkGradients } from './runner/check-gradients.js';
export { loopRunner, referenceRunner } from './runner/host-run.js';
