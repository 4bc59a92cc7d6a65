export { OnnxError, problemsError, type OnnxErrorCode, type Problem } from './error.js';
export { parseModel, readModel, writeModel, type Model } from './model/model.js';
export { externalize, type ExternalizedModel } from './model/external-data.js';
export { specialize, type Specialization } from './model/specialize.js';
export { withFedWeights } from './model/fed-weights.js';
export { inferenceForm } from './model/inference-form.js';
export { defaultOpset, IR_VERSION, OPSET } from './model/opset.js';
export { isDifferentiable, type DType } from './model/dtype.js';
export { Tensor, type TensorData } from './model/tensor.js';
export { float, type AttributeValue } from './graph/attribute.js';
export { Emitter, type AttributeRecord } from './graph/emitter.js';
export { graphFromModel } from './graph/from-model.js';
export { Graph } from './graph/graph.js';
export { Node } from './graph/node.js';
export { graphToProto, modelFromGraph } from './graph/to-model.js';
export { Value, type Contents, type ValueInfo } from './graph/value.js';
export { evaluateDim, symbol, symbolName, SymbolicDim, type Dim } from './shape/dim.js';
export { foldShapes } from './normalize/fold-shapes.js';
export { inferNode, inferShapes } from './shape/infer.js';
export type { Shape } from './shape/shape.js';
export type {
  Gradient,
  GradientContext,
  InferContext,
  Operator,
  OperatorTable,
  UpgradeContext,
} from './operators/operator.js';
export { operators } from './operators/index.js';
export { emitterOf } from './emit.js';
export { importGraph } from './import.js';
export { differentiate } from './gradient/differentiate.js';
export { unbroadcast } from './gradient/unbroadcast.js';
export { bceWithLogits } from './loss/binary-cross-entropy.js';
export { outputLoss, regularized, weightedSum, type Penalties, type WeightedLoss } from './loss/combine.js';
export type { ClassificationOptions } from './loss/classification.js';
export { cosineDistance } from './loss/cosine.js';
export { graphLoss, type GraphLossOptions } from './loss/graph-loss.js';
export { crossEntropy, type CrossEntropyOptions } from './loss/cross-entropy.js';
export { ctc, type CtcOptions } from './loss/ctc.js';
export { klDivergence, type KlDivergenceOptions } from './loss/kl-divergence.js';
export type { AttachedLoss, Loss, LossOptions, Reduction, Target } from './loss/loss.js';
export { nll } from './loss/nll.js';
export { huber, l1, mse, smoothL1 } from './loss/regression.js';
export { emitScalars, emitUpdate, type ScalarValues } from './optimizer/emit-update.js';
export { addAdapters, mergeAdapters, type AdapterOptions } from './edit/adapters.js';
export { findHead, replaceHead, type Head, type HeadPlace, type ReplaceHeadOptions } from './edit/head.js';
export type { Initialization } from './edit/initialization.js';
export { findTies, tieWeights, type Tie } from './edit/ties.js';
export { adapters } from './trainable/adapters.js';
export type { ParameterFilter } from './trainable/filter.js';
export type { Prefix } from './trainable/prefix.js';
export type { FreezeFilter, TrainableOptions } from './trainable/select.js';
export {
  evaluationGraph,
  gradientsGraph,
  inferenceGraph,
  optimizerGraph,
  trainStepGraph,
  type EmittedGraph,
  type EvaluationGraph,
  type GradientsGraph,
  type ParameterSpec,
  type StatisticSpec,
  type TargetSpec,
  type TrainingOptions,
  type TrainStepGraph,
  type TrainStepOptions,
} from './training/graphs.js';
export type { OptimizerBindings, ScalarGroup } from './training/optimizer-step.js';
export { initialParameters, withParameters } from './training/trained-model.js';
export type { TensorSpec } from './training/tensor-spec.js';
export { checkModel, type ModelCheck, type OperatorCheck, type ParameterCheck } from './check/check-model.js';
