export { AdakitError, closestName, nearestNames, type ErrorCode } from './errors.js';
// Writing rules
export {
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  Condition,
  Expression,
  largest,
  matMul,
  mean,
  movingAverage,
  norm,
  oneMinus,
  random,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type NarrowFormat,
  type ReducedAxis,
  type Scalar,
  type Tensor,
} from './expression/expression.js';
export type { Extent, Extents, Shape, ValueType } from './expression/type.js';
export {
  defineOptimizer,
  defineWrapper,
  type OptimizerFactory,
  type OptimizerSource,
  type WrapperFactory,
} from './optimizer/define.js';
export {
  meanings,
  type ComponentSource,
  type Inputs,
  type Slot,
  type SlotDType,
  type SlotMeaning,
  type SlotSource,
  type Structure,
} from './component/component.js';
export {
  anyNumber,
  choice,
  coefficient,
  count,
  decayRate,
  epsilon,
  flag,
  fraction,
  learningRate,
  nonNegative,
  positive,
  repeats,
  type ChoiceHyperparameter,
  type FlagHyperparameter,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
  type HyperparameterValues,
  type NumberHyperparameter,
  type RepeatHyperparameter,
} from './optimizer/hyperparameters.js';
export {
  biasCorrection,
  decay,
  largestMeanOfSquare,
  meanOfGradient,
  meanOfSquare,
  orthogonalized,
  rectification,
  trustRatio,
} from './pieces/pieces.js';
// Composing optimizers
export {
  groups,
  Optimizer,
  requireOptimizer,
  type ChangeScope,
  type OptimizerConfig,
  type OptimizerNode,
  type ParameterGroup,
  type Schedules,
} from './optimizer/optimizer.js';
export {
  matchData,
  matches,
  matchFromData,
  matrices,
  type MatchData,
  type ParameterConditions,
  type ParameterMatch,
  type ParameterRole,
  type ParameterSpec,
} from './optimizer/match.js';
export {
  accumulate,
  adaptiveClipping,
  centralization,
  clipByGlobalNorm,
  clipByNorm,
  clipByValue,
  gradientAveraging,
  gradientNoise,
  lossScaling,
  sam,
} from './compose/gradients.js';
export {
  ema,
  freezeRows,
  lookahead,
  maxNorm,
  minMaxNorm,
  nonNegativeWeights,
  swa,
  unitNorm,
} from './compose/weights.js';
export {
  constantFactor,
  cosine,
  cosineRestarts,
  exponential,
  inverseSqrt,
  linear,
  milestones,
  oneCycle,
  parseSchedule,
  polynomial,
  product,
  reduceOnPlateau,
  scaled,
  scheduleFactor,
  sequence,
  stepDecay,
  warmup,
  warmupStableDecay,
  type PlateauState,
  type Schedule,
} from './schedule/schedule.js';
// Training
export {
  Run,
  type Evaluated,
  type Exclusive,
  type GradientContext,
  type GradientSource,
  type NonFinitePolicy,
  type RunOptions,
  type RunParameter,
  type Stateful,
  type StepOptions,
  type StepReport,
  type WholeStep,
} from './run/run.js';
export { checkOutline, checkState, type ParameterOutline, type StateOutline } from './run/check-state.js';
export { parameterState } from './run/parameter-state.js';
export type {
  CollectedBatches,
  JsonObject,
  JsonValue,
  LossScaleState,
  OverallState,
  ParameterState,
  SlotState,
  TrainingState,
} from './run/training-state.js';
export type { StoredDType, StoredTensor } from './tensor/stored-tensor.js';
export { hostDevice, hostView, type HostBuffer } from './device/host.js';
export { jsAvailable, jsDevice } from './device/js/device.js';
export { referenceDevice } from './device/reference/device.js';
export type { WasmBuffer } from './device/wasm/arena.js';
export {
  wasmAvailable,
  wasmDevice,
  wasmKernelsIn,
  type WasmDeviceOptions,
  type WasmKernels,
} from './device/wasm/device.js';
export type { KernelMemory } from './device/wasm/kernel.js';
export type { WasmMemory } from './device/wasm/webassembly.js';
export {
  castTensor,
  copyTensor,
  elementCount,
  filled,
  sameShape,
  tensor32,
  tensor64,
  type DType,
  type FloatArray,
  type NamedTensors,
  type Precision,
  type TensorData,
} from './tensor/tensor-data.js';
// Writing devices
export type { Binding, BoundKernel, Device, Kernel, MaskedCheck, MaybePromise } from './device/device.js';
export { bufferNames, deviceInputs, isTotal } from './device/device.js';
export { makePlan, type Plan, type PlanGroup, type PlannedParameter, type Stage } from './plan/plan.js';
export { HostScalars, type Moment, type ScalarsOf } from './run/host-scalars.js';
export { foldProgram, type Algebra, type InstructionOf } from './program/fold.js';
export { printProgram } from './program/print.js';
export { buildProgram, inputNames, scalarOperands, type Instruction, type Program } from './program/program.js';
export { evaluateScalars, type ScalarInput } from './program/scalars.js';
export { linkPrograms, type Linked } from './program/link.js';
export {
  operation,
  operations,
  REDUCTION_BLOCK,
  reduction,
  reductions,
  type OperationName,
  type ReductionName,
} from './expression/operations.js';
export { concreteShape, joinShapes, matrixExtents } from './expression/type.js';
export { fillRandom, nameKey, philox, type Distribution, type RandomKey } from './random/philox.js';
export { roundTo } from './tensor/narrow.js';
