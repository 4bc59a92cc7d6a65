// @tier user: errors
export { AdakitError, closestName, keysProblem, kindOf, suggestion, type ErrorCode } from './errors.js';
// @tier author: writing rules and wrappers
export {
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  eigenvectors,
  Condition,
  Expression,
  largest,
  leadingColumns,
  matMul,
  mean,
  movingAverage,
  norm,
  oneMinus,
  orthonormal,
  random,
  rankIndex,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type Operand,
  type ReducedAxis,
  type Scalar,
  type Tensor,
} from './expression/expression.js';
export { bfloat16, float16, type NarrowFormat, type NarrowName } from './tensor/narrow.js';
export type { Extent, Extents, Place, Rank, Shape, ValueDType, ValueType } from './expression/type.js';
export { defineOptimizer, type OptimizerFactory, type OptimizerSource, type RuleInputs } from './optimizer/define.js';
export {
  definePhasedOptimizer,
  defineWrapper,
  type PhasedOptimizerSource,
  type WrapperFactory,
} from './compose/define-phased.js';
export * as meanings from './component/meanings.js';
export {
  type Brought,
  type Checking,
  type ComponentSource,
  type GlobalSource,
  type Inputs,
  type LossScaling,
  type Measures,
  type ParameterForm,
  type PhaseInput,
  type Slot,
  type SlotDType,
  type SlotMeaning,
  type SlotResults,
  type SlotSource,
  type Structure,
  type TotalInputs,
} from './component/component.js';
export { camelCaseKeys } from './optimizer/camel-case.js';
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
  rank,
  repeats,
  type ChoiceHyperparameter,
  type FlagHyperparameter,
  type Hyperparameter,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
  type HyperparameterValues,
  type NumberHyperparameter,
  type Range,
  type RangeReason,
  type RepeatHyperparameter,
} from './optimizer/hyperparameters.js';
export { biasCorrection, correctedRate } from './pieces/bias-correction.js';
export { decay } from './pieces/decay.js';
export { distance, distanceAfter } from './pieces/distance.js';
export { inverseFourthRoot } from './pieces/inverse-root.js';
export {
  largestMeanOfDeviation,
  largestMeanOfSquare,
  meanOfDeviation,
  meanOfGradient,
  meanOfSquare,
  orthogonalized,
  rectification,
  trustRatio,
} from './pieces/pieces.js';
export { bothSides, descending, identity, sideStatistics } from './pieces/sides.js';
// @tier user: composing optimizers
export { Optimizer, requireOptimizer, type ChangeScope } from './optimizer/optimizer.js';
export { groups, type ParameterGroup } from './optimizer/groups.js';
export type { GroupNode } from './optimizer/groups-node.js';
export type {
  Configured,
  OptimizerConfig,
  OptimizerNode,
  PieceConfig,
  Schedules,
  SchedulesData,
} from './optimizer/node.js';
export {
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
  clipByRms,
  clipByValue,
  gradientAveraging,
  gradientNoise,
  lossScaling,
  maximize,
  normalizeByGlobalNorm,
  sam,
} from './compose/gradients.js';
export {
  decoupledDecay,
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
  bounded,
  constantFactor,
  cosine,
  cosineRestarts,
  cyclic,
  exponential,
  inverseSqrt,
  inverseTime,
  linear,
  milestones,
  oneCycle,
  piecewise,
  polynomial,
  product,
  reduceOnPlateau,
  scaled,
  sequence,
  sqrtDecay,
  stepDecay,
  warmup,
  warmupStableDecay,
} from './schedule/factories.js';
export {
  scheduleFactor,
  type PlateauFields,
  type PlateauState,
  type Schedule,
  type ScheduleData,
  type ScheduleFields,
} from './schedule/schedule.js';
// @tier user: training
export { Run, type Exclusive } from './run/run.js';
export { SourceRun, type Stateful, type StatesLoader } from './run/source-run.js';
export type { RunParameter } from './run/memory.js';
export type {
  Evaluated,
  GradientContext,
  GradientSource,
  NonFinitePolicy,
  RunOptions,
  StepOptions,
  StepReport,
} from './run/step-types.js';
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
export { hostDevice, type HostBuffer, type ViewedBuffer } from './device/host.js';
export { jsAvailable, jsDevice } from './device/js/device.js';
export { referenceDevice } from './device/reference/device.js';
export type { WasmBuffer } from './device/wasm/arena.js';
export { wasmAvailable, wasmDevice, type WasmDeviceOptions } from './device/wasm/device.js';
export type { KernelCall, KernelThreads, ThreadCode } from './device/wasm/threads.js';
export type { WasmMemory, WasmModule } from './device/wasm/webassembly.js';
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
  type NumericArray,
  type Precision,
  type TensorData,
} from './tensor/tensor-data.js';
// @tier device: writing devices and runners
export { onAbort } from './run/on-abort.js';
export type { Component, ComponentPrograms, PhasePrograms } from './component/component.js';
export { RuleNode, type ChainLink, type ResolvedChain } from './optimizer/node.js';
export { collecting, type Collecting } from './run/collecting.js';
export { perturbing, type Perturbing } from './run/perturbing.js';
export { secondGradient, type SecondGradient } from './run/second-gradient.js';
export { severalStepsProblem, type SeveralEvaluated, type SeveralStepsSource } from './run/several-steps.js';
export type { WholeStep } from './run/step-types.js';
export type { KeptState } from './run/kept-state.js';
export { hostView } from './device/host.js';
export { wasmKernelsIn, type WasmKernels } from './device/wasm/device.js';
export type { KernelMemory } from './device/wasm/memories.js';
export type { Binding, BoundKernel, Device, Kernel, MaskedCheck, MaybePromise } from './device/device.js';
export { bufferNames, deviceInputs, isTotal } from './device/device.js';
export { makePlan, type PlanOptions } from './run/given-plan.js';
export type {
  ParameterStage,
  Piece,
  PhasedPlan,
  Phases,
  Plan,
  PlanGroup,
  PlannedCall,
  PlannedGlobal,
  PlannedParameter,
  Stage,
} from './plan/plan.js';
export { HostScalars, type Moment, type ScalarsOf } from './run/host-scalars.js';
export { jacobiSweeps, type FactorName, type HostFactor } from './factor/factor.js';
export { neededWith, needsOf, type Need } from './program/needs.js';
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
  type DeviceOperationName,
  type Operation,
  type OperationName,
  type Reduction,
  type ReductionName,
} from './expression/operations.js';
export { concreteShape, extentSize, matrixExtents } from './expression/extents.js';
export { joinShapes } from './expression/type.js';
export { fillDropout, fillRandom, nameKey, philox, type Distribution, type RandomKey } from './random/philox.js';
export type { RoundingArithmetic } from './tensor/narrow.js';
// @tier device: options of functions
export { optionsProblem, type OptionKind } from './options.js';
export * as kinds from './kinds.js';
