// @tier user: models
export { OnnxError, problemsError, type OnnxErrorCode, type Problem } from './error.js';
export type { Budget, Limits } from './budget.js';
export { parseModel, readModel, writeModel, type Model, type ReadOptions } from './model/model.js';
export { externalize, type ExternalizedModel } from './model/external-data.js';
export { withFreeBatch, type FreeBatchOptions } from './batch/free-batch.js';
export { specialize, type Specialization } from './model/specialize.js';
export { withFedWeights } from './model/fed-weights.js';
export { asWritten, type WrittenTypes } from './model/written-types.js';
export { inferenceForm } from './model/inference-form.js';
export { defaultOpset, IR_VERSION, OPSET } from './model/opset.js';
export { isDifferentiable, type ComputePrecision, type DType, type HalfPrecision } from './model/dtype.js';
export { bfloat16ToFloat, halfToFloat } from './model/half.js';
export { Tensor, type TensorData } from './model/tensor.js';
// @tier device: graphs and operators
export { float, type Attributes, type AttributeValue, type FloatAttribute } from './graph/attribute.js';
export { Emitter, type AttributeRecord, type NodeRules } from './graph/emitter.js';
export { graphFromModel } from './graph/from-model.js';
export { Graph } from './graph/graph.js';
export { Node, type Obstacle } from './graph/node.js';
export { graphToProto, modelFromGraph } from './graph/to-model.js';
export { Value, type Contents, type ValueInfo } from './graph/value.js';
export { symbol, symbolName, SymbolicDim, type Dim } from './shape/dim.js';
export { evaluateDim } from './shape/substitution.js';
export { foldShapes } from './passes/fold-shapes.js';
export { inferNode, inferShapes } from './inference/infer.js';
export type { Shape } from './shape/shape.js';
export {
  operatorTable,
  type Definition,
  type DefinitionContext,
  type Draw,
  type DrawnContext,
  type EarlyForm,
  type Gradient,
  type GradientContext,
  type InferContext,
  type ModeContext,
  type Operator,
  type OperatorFacts,
  type OperatorTable,
  type UpgradeContext,
} from './entry/operator.js';
export { role, type Role, type RoleKind } from './entry/role.js';
export { operators } from './operators/index.js';
export { emitterOf } from './inference/emitter-of.js';
export { importGraph } from './passes/import.js';
export { feedDraws, type Draws, type RandomInput } from './passes/draw.js';
export { lowerNodes } from './passes/lower.js';
export { checkGraph } from './verify/check-graph.js';
export type { Kernel } from './target/cuda-kernels.js';
export type { Formulation, FormulationContext, Target, Together } from './target/target.js';
export { placement, type Placement } from './target/placement.js';
// @tier user: targets
export { targets, withConstantWeights, type TargetName } from './target/targets.js';
// @tier device: targets of one machine
export { blockProbe, type BlockProbe } from './training/block-probe.js';
export { LONGEST_BLOCK, withBlocks } from './target/blocked.js';
// @tier device: gradients
export { differentiate } from './gradient/differentiate.js';
export { unbroadcast } from './gradient/unbroadcast.js';
// @tier user: losses
export { bceWithLogits } from './loss/binary-cross-entropy.js';
export { outputLoss, regularized, weightedSum, type Penalties, type WeightedLoss } from './loss/combine.js';
export type { ClassificationOptions } from './loss/classification.js';
export { cosineDistance } from './loss/cosine.js';
export { graphLoss, type GraphLossOptions } from './loss/graph-loss.js';
export { crossEntropy, type CrossEntropyOptions } from './loss/cross-entropy.js';
export { ctc, type CtcOptions } from './loss/ctc.js';
export { klDivergence, type KlDivergenceOptions } from './loss/kl-divergence.js';
export type { AttachedLoss, Loss, LossOptions, LossTarget, Reduction } from './loss/loss.js';
export { nll } from './loss/nll.js';
export { huber, l1, mse, smoothL1 } from './loss/regression.js';
// @tier device: optimizers as graphs
export {
  planStructure,
  type PlanBindings,
  type PlanEmission,
  type ProgramPosition,
  type RandomBinding,
  type ScalarBinding,
  type TensorBinding,
} from './optimizer/emit-plan.js';
export type { ClockBinding, FedHyperparameter } from './optimizer/computed-scalars.js';
export { programGraph, type ProgramGraph } from './optimizer/program-graph.js';
// @tier user: changing models, training graphs
export { addAdapters, mergeAdapters, type AdapterOptions } from './edit/adapters.js';
export { findHead, replaceHead, type Head, type HeadPlace, type ReplaceHeadOptions } from './edit/head.js';
export type { Initialization } from './edit/initialization.js';
export { findTies, tieWeights, type Tie } from './edit/ties.js';
export { adapters } from './trainable/adapters.js';
export type { MemoryLimit, MemoryReport } from './memory/recompute.js';
export type { ParameterFilter } from './trainable/filter.js';
export type { Prefix } from './trainable/prefix.js';
export type { Also, FreezeFilter, TrainableOptions } from './trainable/select.js';
export {
  evaluationGraph,
  gradientsGraph,
  inferenceGraph,
  optimizerGraph,
  trainStepGraph,
  type EmittedGraph,
  type EvaluationGraph,
  type GradientsGraph,
  type GradientsOptions,
  type OptimizerGraph,
  type ParameterSpec,
  type StatisticSpec,
  type TargetOption,
  type TargetSpec,
  type TrainingGraph,
  type TrainingOptions,
  type TrainingSelection,
  type TrainStepGraph,
  type TrainStepOptions,
  type WeightSpec,
} from './training/graphs.js';
export {
  initialCopies,
  initialParameters,
  withConstants,
  withoutValues,
  withParameters,
} from './training/trained-model.js';
export type { TensorSpec } from './training/tensor-spec.js';
export {
  ARTIFACT_FILES,
  ARTIFACT_TARGETS,
  exportArtifacts,
  type ArtifactOptions,
  type Artifacts,
  type ArtifactTarget,
} from './artifacts/artifacts.js';
export type { StateTensor } from './artifacts/checkpoint.js';
export {
  manifestJsonSchema,
  manifestSchema,
  type Manifest,
  type ManifestInput,
  type ManifestOutput,
  type ManifestTensor,
  type Role as ArtifactRole,
} from './artifacts/manifest.js';
export { severalSteps } from './artifacts/scan-steps.js';
export type { TensorLocation } from './artifacts/training-info.js';
export { checkModel, type ModelCheck, type OperatorCheck, type ParameterCheck } from './check/check-model.js';
