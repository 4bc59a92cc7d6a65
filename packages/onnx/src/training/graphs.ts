import { kinds, type OptionKind, type ParameterRole, type Precision } from '@adakit/core';
import type { ModelProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireLoss, requireModel, requireNames, requireOptions, requirePlan, STAGES } from '../given.js';
import { differentiate } from '../gradient/differentiate.js';
import { emitterOf } from '../inference/emitter-of.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Periods } from '../graph/periods.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { executableGraph, importGraph, upgradedGraph } from '../passes/import.js';
import type { Loss } from '../loss/loss.js';
import { arrangeNodes } from '../memory/arrange.js';
import { limitMemory, MEMORY_LIMIT, type MemoryLimit, type MemoryReport } from '../memory/recompute.js';
import { twoPeriods } from '../memory/periods.js';
import type { ComputePrecision, DType } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { autocast } from '../passes/autocast/autocast.js';
import { fitKernels } from '../passes/autocast/fit-kernels.js';
import { drawingNodes, feedDraws, type Draws } from '../passes/draw.js';
import { foldShapes } from '../passes/fold-shapes.js';
import { joinNodes } from '../passes/join.js';
import { lowerNodes } from '../passes/lower.js';
import { nestConcats } from '../passes/nest-concats.js';
import { poolFirst } from '../passes/pool-first.js';
import { splitSlices } from '../passes/split-slices.js';
import { mergeDuplicates } from '../passes/merge.js';
import { moveStatistics } from '../passes/move-statistics.js';
import { operators } from '../operators/index.js';
import { requireNoObstacles, requireRunnable } from '../inference/infer.js';
import { isStatic } from '../shape/dim.js';
import { isStaticShape, type Shape } from '../shape/shape.js';
import { emitPlan, type PlanBindings, type PlanEmission } from '../optimizer/emit-plan.js';
import {
  classifyInitializers,
  noTrainable,
  selectedValues,
  TRAINABLE_OPTIONS,
  type TrainableOptions,
} from '../trainable/select.js';
import { rollRecurrences } from '../passes/roll/roll.js';
import { setTrainingMode, type RunningStatistic } from '../passes/mode.js';
import { addOutput } from '../graph/output.js';
import type { Target, Together } from '../target/target.js';
import { ortCpu } from '../target/targets.js';
import { afterPass } from '../verify/passes.js';
import { parameterRoles } from './parameter-role.js';
import { tensorSpec, type TensorSpec } from './tensor-spec.js';

/** Where a graph is to run. */
export interface TargetOption {
  /** Default: ONNX Runtime on the CPU, `targets['ort-cpu']`. */
  readonly target?: Target;
}

const TARGET_OPTION: Readonly<Record<keyof TargetOption, OptionKind>> = {
  target: kinds.kind("a target, such as targets['ort-cpu']", (target) => {
    const { partly, own, formulations } = Object(target) as Partial<Target>;
    return Object(partly) === partly && Array.isArray(own) && Object(formulations) === formulations;
  }),
};

/** What to train and towards what. */
export interface TrainingOptions extends TrainableOptions, TargetOption {
  readonly loss: Loss;
  /**
   * What products are computed in, and what follows them as long as that is safe; parameters, gradients, statistics and the
   * loss are float32 in any case. Targets have some of them. Default: `float32`, the model as it is.
   */
  readonly precision?: ComputePrecision;
  /**
   * How much a step may keep at a time of what it computes; where that is not enough, it computes again in the backward pass
   * what it would have kept. Default: no limit.
   */
  readonly memoryLimit?: MemoryLimit;
}

/** {@link TrainingOptions}, as they may be; the loss is looked at apart. */
export const TRAINING_OPTIONS: Readonly<Record<keyof TrainingOptions, OptionKind>> = {
  ...TRAINABLE_OPTIONS,
  ...TARGET_OPTION,
  loss: kinds.anything,
  precision: kinds.oneOf('float32', 'float16', 'bfloat16'),
  memoryLimit: MEMORY_LIMIT,
};

/** What was chosen to be trained. Which it would be may depend on the values of weights, and these change. */
export interface TrainingSelection {
  /** Names of initializers. */
  readonly parameters: readonly string[];
  /** Batch normalizations that use their running statistics in training, by their place among all. */
  readonly frozenNormalizations: readonly number[];
  /** Names of initializers that the default leaves out though they may be parameters, for `train: { also }`. */
  readonly leftOut: readonly string[];
}

/** Options of {@link gradientsGraph}. */
export interface GradientsOptions extends TrainingOptions {
  /** What an earlier graph of the model has chosen to train, in the place of `train` and `freeze`. */
  readonly selection?: TrainingSelection;
  /** Whether to multiply the loss by a number that is fed before it is differentiated. Default: no. */
  readonly lossScale?: boolean;
  /**
   * Whether what the model draws in training (dropout, noise) is fed, so that the caller decides on the numbers, instead of
   * drawn by the runtime. Default: no.
   */
  readonly feedRandom?: boolean;
  /** Outputs of the model that are wanted as they are in training mode, beside the loss. Default: none. */
  readonly outputs?: readonly string[];
}

const GRADIENTS_OPTIONS: Readonly<Record<keyof GradientsOptions, OptionKind>> = {
  ...TRAINING_OPTIONS,
  selection: kinds.options({
    parameters: kinds.required(kinds.names),
    frozenNormalizations: kinds.required(kinds.list),
    leftOut: kinds.required(kinds.names),
  } satisfies Record<keyof TrainingSelection, OptionKind>),
  lossScale: kinds.flag,
  feedRandom: kinds.flag,
  outputs: kinds.names,
};

const EMISSION: Readonly<Record<keyof PlanEmission, OptionKind>> = {
  plan: kinds.anything,
  stages: STAGES,
  cohort: kinds.callable,
  together: kinds.options({
    elements: kinds.required(kinds.number),
    parameters: kinds.required(kinds.number),
  } satisfies Record<keyof Together, OptionKind>),
  scalars: kinds.oneOf('fed', 'computed'),
};

/** Options of {@link trainStepGraph}. */
export interface TrainStepOptions extends GradientsOptions, PlanEmission {}

/** What a loss is compared with: one tensor that every batch brings. */
export interface TargetSpec extends TensorSpec {
  /** Number of classes, when the target holds integer labels. */
  readonly classes?: number;
  /** A label outside the classes that marks positions to leave out. */
  readonly ignoreIndex?: number;
  /** Name of the tensor that holds how many of the first labels of each row count; the rest is padding. */
  readonly lengths?: string;
  /** For numbers of elements along a dimension, that dimension, as in shapes: each must be in [0, it]. */
  readonly countsUpTo?: number | string;
}

/** An initializer of the model that has become an input of the emitted graphs. */
export interface WeightSpec {
  readonly name: string;
  readonly dtype: Precision;
  readonly shape: readonly number[];
}

/** A trainable parameter. */
export interface ParameterSpec extends WeightSpec {
  /** What it is to its layer, where its uses tell. */
  readonly role?: ParameterRole;
}

/** A tensor that training changes without a gradient, such as a running mean: an input of its name, and an output. */
export interface StatisticSpec extends WeightSpec {
  /** The output that holds it after the step. */
  readonly output: string;
}

/** An emitted graph and the names under which its tensors are found. */
export interface EmittedGraph {
  readonly model: ModelProto;
  /** Inputs of the original model. */
  readonly inputs: readonly TensorSpec[];
  readonly parameters: readonly WeightSpec[];
}

/** Loss and outputs for a batch, without training: `parameters`, inputs and targets in. */
export interface EvaluationGraph extends EmittedGraph {
  readonly targets: readonly TargetSpec[];
  readonly loss: string;
  /** Outputs of the original model. */
  readonly outputs: readonly string[];
}

/** What graphs in training mode have. */
export interface TrainingGraph extends EmittedGraph {
  readonly parameters: readonly ParameterSpec[];
  readonly targets: readonly TargetSpec[];
  readonly loss: string;
  /** The graph's outputs that hold outputs of the model, by the model's names. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly statistics: readonly StatisticSpec[];
  /** The input for what the loss is multiplied by, of its element type and of rank 0, where it was asked for. */
  readonly lossScale?: TensorSpec;
  /** What the model draws in training. */
  readonly random: Draws;
  /** What the limit has come to, where there is one. */
  readonly memory?: MemoryReport;
}

/** Loss and gradients for a batch, in training mode. */
export interface GradientsGraph extends TrainingGraph {
  /** The output that holds the gradient of each parameter. */
  readonly gradients: Readonly<Record<string, string>>;
  readonly selection: TrainingSelection;
}

/** Forward, backward and optimizer in one. */
export interface TrainStepGraph extends TrainingGraph {
  readonly plan: PlanBindings;
}

/** The optimizer alone. */
export interface OptimizerGraph {
  readonly model: ModelProto;
  /** The input for the gradient of each parameter: `<parameter>_grad`. */
  readonly gradients: Readonly<Record<string, string>>;
  readonly plan: PlanBindings;
}

/**
 * The model in inference mode with some of its weights as inputs. Which weights are fed, those being trained or an average
 * of them, is the caller's choice.
 *
 * @param parameters names, as another graph of the same model lists them; those of its statistics, too
 * @throws OnnxError `unsupported-dtype` for an output of a dtype that ONNX Runtime cannot hand over
 */
export function inferenceGraph(
  model: Model,
  parameters: readonly string[],
  options: TargetOption = {},
): EmittedGraph & { readonly outputs: readonly string[] } {
  requireModel('inferenceGraph()', model);
  requireNames('inferenceGraph(): parameters', parameters);
  requireOptions('inferenceGraph()', options, TARGET_OPTION);
  const { target } = options;
  const { graph, inputs } = inferenceMode(model, parameters, target);
  const closed = graph.outputs.find((output) => !canBeRead(output));
  if (closed !== undefined) {
    throw new OnnxError(
      'unsupported-dtype',
      `the output '${closed.name}' is ${closed.dtype ?? 'of no known type'}, of which no tensor can be read in JavaScript; ` +
        'cast it in the model, to int8 or float32 say',
    );
  }
  const outputs = graph.outputs.map(({ name }) => name);
  return { ...finish(graph, inputs, parametersByName(graph, parameters), target), outputs };
}

/** The model in inference mode, with its loss. Outputs of dtypes that ONNX Runtime cannot hand over are left out. */
export function evaluationGraph(
  model: Model,
  options: TargetOption & { readonly loss: Loss; readonly parameters: readonly string[] },
): EvaluationGraph {
  requireModel('evaluationGraph()', model);
  requireOptions('evaluationGraph()', options, {
    ...TARGET_OPTION,
    loss: kinds.anything,
    parameters: kinds.required(kinds.names),
  });
  requireLoss(options.loss);
  const { target } = options;
  const { graph, inputs } = inferenceMode(model, options.parameters, target);
  const parameters = parametersByName(graph, options.parameters);
  const { loss, targets } = attachLoss(graph, options.loss, parameters);
  graph.outputs.splice(0, graph.outputs.length, ...graph.outputs.filter(canBeRead));
  const outputs = graph.outputs.map(({ name }) => name);
  graph.outputs.unshift(loss);
  return { ...finish(graph, inputs, parameters, target), loss: loss.name, targets, outputs };
}

/**
 * Loss and gradients. Where a trained parameter is float64, all are, and so are the gradients: optimizers compute in one
 * precision.
 *
 * @throws OnnxError `not-differentiable`, `no-trainable-parameter`, `unknown-parameter` or whatever importing throws
 */
export function gradientsGraph(model: Model, options: GradientsOptions): GradientsGraph {
  requireTraining('gradientsGraph()', model, options, GRADIENTS_OPTIONS);
  const training = differentiateModel(model, options);
  const e = emitterOf(training.graph);
  const outputs = Object.entries(training.gradients).map(
    ([name, gradient]) => [name, addOutput(e, gradient, `${name}_grad`)] as const,
  );
  return {
    ...finishTraining(training, options),
    gradients: Object.fromEntries(outputs),
    selection: training.selection,
  };
}

/**
 * A whole training step, or its stages for one of several batches, as one graph of standard operators. Scalars are fed.
 *
 * @param options `plan`: made from the parameters that {@link gradientsGraph} lists for the same options
 * @throws OnnxError `invalid-argument` for a plan of other parameters, or whatever {@link gradientsGraph} throws
 */
export function trainStepGraph(model: Model, options: TrainStepOptions): TrainStepGraph {
  requireTraining('trainStepGraph()', model, options, { ...GRADIENTS_OPTIONS, ...EMISSION });
  requirePlan('trainStepGraph()', options.plan);
  const training = differentiateModel(model, options);
  const { graph, parameters, gradients } = training;
  const [planned, trained] = [options.plan.parameters, parameters].map((list) => list.map(({ name }) => name).sort());
  if (planned.join() !== trained.join()) {
    throw new OnnxError(
      'invalid-argument',
      `the plan is for the parameters ${planned.join(', ')}, but ${trained.join(', ')} are trained; ` +
        'make it from the parameters of gradientsGraph() with the same options',
    );
  }
  const inputs = parameters.map(({ name }) => [name, graph.requireValue(name)] as const);
  const emission = { together: options.target?.together, ...options };
  const plan = emitPlan(emitterOf(graph), emission, Object.fromEntries(inputs), gradients);
  afterPass('update', graph, operators);
  return { ...finishTraining(training, options), plan };
}

/**
 * The optimizer alone: parameters, gradients, slots and scalars in, new parameters and slots out.
 *
 * @param options `precision` of all numbers; default: float32
 */
export function optimizerGraph(
  emission: PlanEmission,
  options: TargetOption & { readonly precision?: Precision } = {},
): OptimizerGraph {
  requireOptions('optimizerGraph()', emission, EMISSION);
  requirePlan('optimizerGraph()', emission.plan);
  requireOptions('optimizerGraph()', options, {
    ...TARGET_OPTION,
    precision: kinds.oneOf('float32', 'float64'),
  });
  const { precision: dtype = 'float32', target } = options;
  const graph = new Graph('optimizer');
  const { parameters } = emission.plan;
  const inputs = (nameOf: (parameter: string) => string): Record<string, Value> =>
    Object.fromEntries(
      parameters.map(({ name, shape }) => [name, graph.addInput(graph.uniqueName(nameOf(name)), { dtype, shape })]),
    );
  const params = inputs((name) => name);
  const gradients = inputs((name) => `${name}_grad`);
  const plan = emitPlan(emitterOf(graph), { together: target?.together, ...emission }, params, gradients);
  afterPass('update', graph, operators);
  lower(graph, target);
  return {
    model: toModel(graph),
    gradients: Object.fromEntries(Object.entries(gradients).map(([name, value]) => [name, value.name])),
    plan,
  };
}

/** @throws OnnxError `invalid-argument` for what is no model, wrong options, and options without a loss */
function requireTraining(
  what: string,
  model: Model,
  options: GradientsOptions,
  known: Readonly<Record<string, OptionKind>>,
): void {
  requireModel(what, model);
  requireOptions(what, options, known);
  requireLoss(options.loss);
}

/**
 * Dtypes of tensors in JavaScript. onnxruntime-node 1.30 refuses others once they are computed, and takes the process with it
 * for 4-bit integers.
 */
const READABLE: ReadonlySet<DType> = new Set<DType>([
  'float32',
  'float64',
  'float16',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
  'string',
]);

function canBeRead({ dtype, type }: Value): boolean {
  // What is no tensor, or is not known, ONNX Runtime decides.
  return type !== undefined || dtype === undefined || READABLE.has(dtype);
}

function inferenceMode(
  model: Model,
  parameters: readonly string[],
  target?: Target,
): { graph: Graph; inputs: readonly TensorSpec[] } {
  const graph = importGraph(model, operators, target);
  rollRecurrences(graph, parametersByName(graph, parameters), target);
  setTrainingMode(graph, emitterOf(graph), false);
  return { graph, inputs: graph.inputs.map(tensorSpec) };
}

/** Turns running statistics into inputs and adds what they become as outputs. */
function addStatistics(e: Emitter, running: readonly RunningStatistic[]): StatisticSpec[] {
  return running.map(({ initializer, updated }) => {
    const spec = weightSpec(initializer);
    const output = addOutput(e, updated, `${initializer.name}_updated`);
    e.graph.initializerToInput(initializer);
    return { ...spec, output };
  });
}

interface DifferentiatedModel {
  readonly graph: Graph;
  readonly inputs: readonly TensorSpec[];
  readonly targets: readonly TargetSpec[];
  readonly loss: Value;
  readonly outputs: Readonly<Record<string, string>>;
  readonly statistics: readonly StatisticSpec[];
  readonly lossScale: Value | undefined;
  readonly random: Draws;
  /** Inputs of the graph already. */
  readonly parameters: readonly ParameterSpec[];
  readonly gradients: Readonly<Record<string, Value>>;
  readonly selection: TrainingSelection;
}

function differentiateModel(model: Model, options: GradientsOptions): DifferentiatedModel {
  const graph = upgradedGraph(model);
  const { candidates, frozen, selection } = select(graph, model, options);
  const roles = parameterRoles(graph, candidates);
  executableGraph(graph, operators, options.target);
  rollRecurrences(graph, candidates, options.target);
  const e = emitterOf(graph);
  const running = setTrainingMode(graph, e, true, frozen);
  const inputs = graph.inputs.map(tensorSpec);
  const wanted = outputPlaces(graph, options.outputs ?? []);
  const { loss, targets } = attachLoss(graph, options.loss, candidates);
  poolFirst(graph);
  nestConcats(graph);
  splitSlices(graph);
  const random = options.feedRandom === true ? feedDraws(graph) : { inputs: [], inside: drawingNodes(graph) };
  const { precision: computing = 'float32', target = ortCpu } = options;
  if (computing !== 'float32') {
    const drawn = random.inputs.map(({ name }) => graph.requireValue(name));
    autocast(
      graph,
      {
        precision: computing,
        target,
        parameters: candidates,
        drawn,
        kept: [loss, ...wanted.map(([, place]) => graph.outputs[place])],
      },
      operators,
    );
  }
  const lossScale =
    options.lossScale === true
      ? graph.addInput(graph.uniqueName('loss_scale'), { dtype: loss.dtype, shape: [] })
      : undefined;
  const objective = lossScale === undefined ? loss : e.mul(loss, lossScale);
  const found = differentiate(graph, objective, candidates, operators);
  if (found.size === 0) throw noTrainable(candidates.map(({ name }) => name));
  const given = wanted.map(([name, place]) => [name, graph.outputs[place]] as const);
  graph.outputs.length = 0;
  graph.outputs.push(loss);
  const outputs = Object.fromEntries(given.map(([name, value]) => [name, addOutput(e, value, name)]));
  const statistics = addStatistics(e, running);
  const precision = [...found.keys()].some(({ dtype }) => dtype === 'float64') ? 'float64' : 'float32';
  const trained = [...found].map(([value, gradient]) => {
    const role = roles.get(value);
    const spec: ParameterSpec = { ...weightSpec(value), dtype: precision, ...(role && { role }) };
    toParameter(e, value, precision);
    return { spec, gradient: e.cast(gradient, precision) };
  });
  return {
    graph,
    inputs,
    targets,
    loss,
    outputs,
    statistics,
    lossScale,
    random,
    parameters: trained.map(({ spec }) => spec),
    gradients: Object.fromEntries(trained.map(({ spec, gradient }) => [spec.name, gradient])),
    selection,
  };
}

/** Where outputs of a model are among all. @throws OnnxError `invalid-argument` for a name that it does not have */
function outputPlaces(graph: Graph, names: readonly string[]): (readonly [name: string, place: number])[] {
  const known = graph.outputs.map(({ name }) => name);
  return names.map((name) => {
    const place = known.indexOf(name);
    if (place >= 0) return [name, place];
    throw new OnnxError('invalid-argument', `the model has no output '${name}'; it has ${known.join(', ')}`);
  });
}

function select(
  graph: Graph,
  model: Model,
  { selection, ...options }: GradientsOptions,
): {
  readonly candidates: readonly Value[];
  readonly frozen: ReadonlySet<Node>;
  readonly selection: TrainingSelection;
} {
  const normalizations = graph.nodes.filter(({ key }) => key === 'BatchNormalization');
  if (selection !== undefined) {
    const { parameters, frozenNormalizations } = selection;
    return {
      candidates: parametersByName(graph, parameters),
      frozen: new Set(frozenNormalizations.map((place) => normalizations[place])),
      selection,
    };
  }
  const found = classifyInitializers(graph, model, options);
  const candidates = selectedValues(found);
  const frozen = found.frozenNormalizations;
  return {
    candidates,
    frozen,
    selection: {
      parameters: candidates.map(({ name }) => name),
      frozenNormalizations: normalizations.flatMap((node, place) => (frozen.has(node) ? [place] : [])),
      leftOut: found.candidates.flatMap(({ value, isDoubtful }) => (isDoubtful === true ? [value.name] : [])),
    },
  };
}

/** Turns an initializer into an input of `precision`, from which the model gets its own element type. */
function toParameter(e: Emitter, value: Value, precision: Precision): void {
  const { graph } = e;
  if (value.dtype === precision) {
    graph.initializerToInput(value);
    return;
  }
  const { name, shape } = value;
  graph.rename(value, graph.uniqueName(`${name}_initial`));
  const parameter = graph.addInput(name, { dtype: precision, shape });
  const cast = e.cast(parameter, value.dtype ?? 'float32');
  graph.replaceUses(value, cast);
  // What uses it has to come later.
  graph.nodes.unshift(...graph.nodes.splice(-1));
}

function attachLoss(
  graph: Graph,
  objective: Loss,
  parameters: readonly Value[],
): { loss: Value; targets: TargetSpec[] } {
  requireLoss(objective);
  const own = new Set(graph.inputs);
  const { loss, targets } = attached(graph, () => objective.attach(emitterOf(graph), graph, parameters));
  if (loss.producer !== undefined) graph.rename(loss, graph.uniqueName('loss'));
  afterPass('loss', graph, operators);
  // A target may be shared by several losses, or be an input that the model has anyway.
  const added = new Map(targets.flatMap((target) => (own.has(target.input) ? [] : [[target.input, target] as const])));
  return {
    loss,
    targets: [...added.values()].map(({ input, lengths, countsUpTo, ...labels }) => ({
      ...tensorSpec(input),
      ...labels,
      ...(lengths !== undefined && { lengths: lengths.name }),
      ...(countsUpTo !== undefined && { countsUpTo: isStatic(countsUpTo) ? countsUpTo : String(countsUpTo) }),
    })),
  };
}

/** An output of unknown rank is the fault of what computes it. */
function attached<T>(graph: Graph, attach: () => T): T {
  try {
    return attach();
  } catch (error) {
    if (error instanceof OnnxError && error.code === 'unknown-shape') {
      requireNoObstacles(graph.outputs.flatMap(({ producer }) => producer ?? []));
    }
    throw error;
  }
}

function parametersByName(graph: Graph, names: readonly string[]): Value[] {
  return names.map((name) => graph.requireValue(name));
}

/** Wraps up a graph in training mode, whose parameters are inputs. */
function finishTraining(
  training: DifferentiatedModel,
  { target, precision, memoryLimit }: TrainingOptions,
): TrainingGraph {
  const { graph, inputs, parameters, targets, loss, outputs, statistics, lossScale, random } = training;
  lower(graph, target, precision, statistics);
  const limited = memoryLimit && limitMemory(graph, loss, memoryLimit);
  return {
    model: toModel(graph, limited?.periods ?? twoPeriods(graph, loss)),
    inputs,
    parameters,
    targets,
    loss: loss.name,
    outputs,
    statistics,
    random,
    ...(lossScale !== undefined && { lossScale: tensorSpec(lossScale) }),
    ...(limited !== undefined && { memory: limited.report }),
  };
}

/** Turns the parameters into inputs and wraps the graph up. */
function finish(
  graph: Graph,
  inputs: readonly TensorSpec[],
  parameters: readonly Value[],
  target: Target | undefined,
): EmittedGraph {
  for (const parameter of parameters) graph.initializerToInput(parameter);
  lower(graph, target);
  return { model: toModel(graph), inputs, parameters: parameters.map(weightSpec) };
}

/** Brings a complete graph to what a target executes. */
function lower(
  graph: Graph,
  target: Target = ortCpu,
  precision: ComputePrecision = 'float32',
  statistics: readonly StatisticSpec[] = [],
): void {
  // Losses and gradients may be written in operators that only this package has.
  lowerNodes(graph, operators, target);
  if (precision !== 'float32') fitKernels(graph, target, operators);
  foldShapes(graph);
  joinNodes(graph, operators);
  mergeDuplicates(graph, operators);
  // Elsewhere it has not been measured, and WebGPU bounds the inputs of a kernel.
  if (target.provider === 'cpu') moveStatistics(graph, statistics, operators);
  graph.removeDead();
  afterPass('prune', graph, operators);
  arrangeNodes(graph, operators);
}

function toModel(graph: Graph, periods?: Periods): ModelProto {
  requireRunnable(graph);
  return modelFromGraph(graph, periods);
}

function weightSpec({ name, dtype, shape }: Value): WeightSpec {
  const known: Shape = shape ?? [];
  if (!isStaticShape(known) || (dtype !== 'float32' && dtype !== 'float64')) {
    throw new Error(`'${name}' is no trainable parameter`);
  }
  return { name, dtype, shape: known };
}
