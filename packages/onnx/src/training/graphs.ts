import type { Optimizer } from '@adakit/core';
import type { ModelProto } from 'onnx-buf';
import { differentiate } from '../gradient/differentiate.js';
import { emitterOf } from '../emit.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { executableGraph, importGraph, upgradedGraph } from '../import.js';
import type { Loss } from '../loss/loss.js';
import type { Model } from '../model/model.js';
import { decomposeNodes } from '../operators/decompose.js';
import { operators } from '../operators/index.js';
import { isStaticShape, type Shape } from '../shape/shape.js';
import { classifyInitializers, noTrainable, selectedValues, type TrainableOptions } from '../trainable/select.js';
import { setTrainingMode, type RunningStatistic } from './mode.js';
import { emitOptimizer, type OptimizerBindings } from './optimizer-step.js';
import { addOutput } from './output.js';
import { tensorSpec, type TensorSpec } from './tensor-spec.js';

/** What to train and towards what. */
export interface TrainingOptions extends TrainableOptions {
  readonly loss: Loss;
}

export interface TrainStepOptions extends TrainingOptions {
  readonly optimizer: Optimizer;
  /** Parameters of different cohorts have step inputs of their own; by default all share one. */
  readonly cohort?: (parameter: string) => number;
}

export interface TargetSpec extends TensorSpec {
  /** Number of classes, when the target holds integer labels. */
  readonly classes?: number;
  /** A label outside the classes that marks positions to leave out. */
  readonly ignoreIndex?: number;
  /** Name of the tensor that holds how many of the first labels of each row count; the rest is padding. */
  readonly lengths?: string;
}

/** A trainable parameter: an initializer of the model that has become an input of the emitted graphs. */
export interface ParameterSpec {
  readonly name: string;
  readonly dtype: 'float32' | 'float64';
  readonly shape: readonly number[];
}

/** A tensor that training changes without a gradient, such as a running mean: an input of its name, and an output. */
export interface StatisticSpec extends ParameterSpec {
  /** The output that holds it after the step. */
  readonly output: string;
}

/** An emitted graph and the names under which its tensors are found. */
export interface EmittedGraph {
  readonly model: ModelProto;
  /** Inputs of the original model. */
  readonly inputs: readonly TensorSpec[];
  readonly parameters: readonly ParameterSpec[];
}

/** Loss and outputs for a batch, without training: `parameters`, inputs and targets in. */
export interface EvaluationGraph extends EmittedGraph {
  readonly targets: readonly TargetSpec[];
  readonly loss: string;
  /** Outputs of the original model. */
  readonly outputs: readonly string[];
}

/** Loss and gradients for a batch, in training mode. */
export interface GradientsGraph extends EmittedGraph {
  readonly targets: readonly TargetSpec[];
  readonly loss: string;
  /** The output that holds the gradient of each parameter. */
  readonly gradients: Readonly<Record<string, string>>;
  readonly statistics: readonly StatisticSpec[];
}

/** Forward, backward and optimizer in one. */
export interface TrainStepGraph extends EmittedGraph {
  readonly targets: readonly TargetSpec[];
  readonly loss: string;
  readonly optimizer: OptimizerBindings;
  readonly statistics: readonly StatisticSpec[];
}

/**
 * The model in inference mode with its trainable parameters as inputs.
 *
 * @param parameters names, as another graph of the same model lists them; those of its statistics, too
 */
export function inferenceGraph(
  model: Model,
  parameters: readonly string[],
): EmittedGraph & { readonly outputs: readonly string[] } {
  const { graph, inputs } = inferenceMode(model);
  const outputs = graph.outputs.map(({ name }) => name);
  return { ...finish(graph, inputs, parametersByName(graph, parameters)), outputs };
}

/** The model in inference mode, with its loss. */
export function evaluationGraph(model: Model, options: { loss: Loss; parameters: readonly string[] }): EvaluationGraph {
  const { graph, inputs } = inferenceMode(model);
  const outputs = graph.outputs.map(({ name }) => name);
  const parameters = parametersByName(graph, options.parameters);
  const { loss, targets } = attachLoss(graph, options.loss, parameters);
  graph.outputs.unshift(loss);
  return { ...finish(graph, inputs, parameters), loss: loss.name, targets, outputs };
}

/**
 * Loss and gradients.
 *
 * @throws OnnxError `not-differentiable`, `no-trainable-parameter`, `unknown-parameter` or whatever importing throws
 */
export function gradientsGraph(model: Model, options: TrainingOptions): GradientsGraph {
  const { graph, inputs, loss, targets, gradients, running } = differentiateModel(model, options);
  const e = emitterOf(graph);
  const statistics = addStatistics(e, running);
  const outputs = [...gradients].map(([{ name }, gradient]) => [name, addOutput(e, gradient, `${name}_grad`)] as const);
  return {
    ...finish(graph, inputs, [...gradients.keys()]),
    loss: loss.name,
    targets,
    gradients: Object.fromEntries(outputs),
    statistics,
  };
}

/** A whole training step as one graph of standard operators, scalars included. */
export function trainStepGraph(model: Model, options: TrainStepOptions): TrainStepGraph {
  const { graph, inputs, loss, targets, gradients, running } = differentiateModel(model, options);
  const statistics = addStatistics(emitterOf(graph), running);
  const cohort = options.cohort ?? (() => 0);
  const pairs = [...gradients].map(([param, grad]) => ({ param, grad, cohort: cohort(param.name) }));
  const bindings = emitOptimizer(emitterOf(graph), options.optimizer, pairs);
  return { ...finish(graph, inputs, [...gradients.keys()]), loss: loss.name, targets, optimizer: bindings, statistics };
}

/** The optimizer alone: parameters, gradients (`<parameter>_grad`), slots and scalars in, new parameters and slots out. */
export function optimizerGraph(
  optimizer: Optimizer,
  parameters: readonly ParameterSpec[],
): {
  readonly model: ModelProto;
  readonly gradients: Readonly<Record<string, string>>;
  readonly optimizer: OptimizerBindings;
} {
  const graph = new Graph(`${optimizer.name}_update`);
  const pairs = parameters.map(({ name, dtype, shape }) => ({
    param: graph.addInput(name, { dtype, shape }),
    grad: graph.addInput(graph.uniqueName(`${name}_grad`), { dtype, shape }),
  }));
  const bindings = emitOptimizer(emitterOf(graph), optimizer, pairs);
  return {
    model: modelFromGraph(graph),
    gradients: Object.fromEntries(pairs.map(({ param, grad }) => [param.name, grad.name])),
    optimizer: bindings,
  };
}

function inferenceMode(model: Model): { graph: Graph; inputs: readonly TensorSpec[] } {
  const graph = importGraph(model);
  setTrainingMode(graph, emitterOf(graph), false);
  return { graph, inputs: graph.inputs.map(tensorSpec) };
}

/** Turns running statistics into inputs and adds what they become as outputs. */
function addStatistics(e: Emitter, running: readonly RunningStatistic[]): StatisticSpec[] {
  return running.map(({ initializer, updated }) => {
    const spec = parameterSpec(initializer);
    const output = addOutput(e, updated, `${initializer.name}_updated`);
    e.graph.initializerToInput(initializer);
    return { ...spec, output };
  });
}

function differentiateModel(model: Model, { loss: objective, ...options }: TrainingOptions) {
  const graph = upgradedGraph(model);
  const selection = classifyInitializers(graph, model, options);
  const candidates = selectedValues(selection);
  executableGraph(graph);
  const running = setTrainingMode(graph, emitterOf(graph), true, selection.frozenNormalizations);
  const inputs = graph.inputs.map(tensorSpec);
  const { loss, targets } = attachLoss(graph, objective, candidates);
  const gradients = differentiate(graph, loss, candidates, operators);
  if (gradients.size === 0) throw noTrainable(candidates.map(({ name }) => name));
  graph.outputs.length = 0;
  graph.outputs.push(loss);
  return { graph, inputs, loss, targets, gradients, running };
}

function attachLoss(
  graph: Graph,
  objective: Loss,
  parameters: readonly Value[],
): { loss: Value; targets: TargetSpec[] } {
  const own = new Set(graph.inputs);
  const { loss, targets } = objective.attach(emitterOf(graph), graph, parameters);
  if (loss.producer !== undefined) graph.rename(loss, graph.uniqueName('loss'));
  // A target may be shared by several losses, or be an input that the model has anyway.
  const added = new Map(targets.flatMap((target) => (own.has(target.input) ? [] : [[target.input, target] as const])));
  return {
    loss,
    targets: [...added.values()].map(({ input, lengths, ...labels }) => ({
      ...tensorSpec(input),
      ...labels,
      ...(lengths !== undefined && { lengths: lengths.name }),
    })),
  };
}

function parametersByName(graph: Graph, names: readonly string[]): Value[] {
  return names.map((name) => graph.requireValue(name));
}

/** Turns the parameters into inputs and wraps the graph up. */
function finish(graph: Graph, inputs: readonly TensorSpec[], parameters: readonly Value[]): EmittedGraph {
  for (const parameter of parameters) graph.initializerToInput(parameter);
  // Losses and gradients may be written in operators that only this package has.
  decomposeNodes(graph, operators);
  graph.removeDead();
  return { model: modelFromGraph(graph), inputs, parameters: parameters.map(parameterSpec) };
}

function parameterSpec({ name, dtype, shape }: Value): ParameterSpec {
  const known: Shape = shape ?? [];
  if (!isStaticShape(known) || (dtype !== 'float32' && dtype !== 'float64')) {
    throw new Error(`'${name}' is no trainable parameter`);
  }
  return { name, dtype, shape: known };
}
