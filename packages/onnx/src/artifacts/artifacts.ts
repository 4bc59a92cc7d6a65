import { kinds, makePlan, requireOptimizer, type OptionKind, type Optimizer } from '@adakit/core';
import type { ModelProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireLoss, requireModel, requireOptions } from '../given.js';
import type { Model } from '../model/model.js';
import type { Target } from '../target/target.js';
import { targets, type TargetName } from '../target/targets.js';
import {
  evaluationGraph,
  gradientsGraph,
  optimizerGraph,
  trainStepGraph,
  TRAINING_OPTIONS,
  type GradientsGraph,
  type OptimizerGraph,
  type TrainingOptions,
} from '../training/graphs.js';
import { accumulating, type AccumulatingGraph } from './accumulation.js';
import { checkpointOf, type Kept, type StateTensor } from './checkpoint.js';
import { graphEntry, opsetsOf, tensorEntry } from './describe.js';
import { requireExportable } from './exportable.js';
import type { Manifest, ManifestTensor } from './manifest.js';
import { evaluationRoles, gradientName, optimizerRoles, stepRoles, trainingRoles, type Roles } from './roles.js';
import { carriedOf, severalSteps } from './scan-steps.js';
import { withTrainingInfo, type TensorLocation } from './training-info.js';

/** Names of the files of training artifacts; those of graphs are ONNX Runtime's own. */
export const ARTIFACT_FILES = {
  training: 'training_model.onnx',
  optimizer: 'optimizer_model.onnx',
  evaluation: 'eval_model.onnx',
  step: 'train_step.onnx',
  checkpoint: 'checkpoint.safetensors',
  manifest: 'manifest.json',
} as const;

/** Where artifacts are to run: the target that graphs are written for. */
export const ARTIFACT_TARGETS = {
  cpu: 'ort-cpu',
  cuda: 'ort-cuda',
  webgpu: 'ort-webgpu',
  // The same kernels as on the CPU.
  wasm: 'ort-cpu',
  portable: 'portable',
} as const satisfies Readonly<Record<string, TargetName>>;

/** Names of {@link ARTIFACT_TARGETS}. */
export type ArtifactTarget = keyof typeof ARTIFACT_TARGETS;

/** What to train, how, and where. */
export interface ArtifactOptions extends Omit<TrainingOptions, 'target'> {
  readonly optimizer: Optimizer;
  /** Default: `cpu`. */
  readonly target?: ArtifactTarget;
  /** Steps in one run of `train_step.onnx`, over as many minibatches. Default: 1. */
  readonly stepsPerRun?: number;
  /**
   * Whether what the model draws in training (dropout, noise) becomes inputs, so that whoever runs the graphs decides on the
   * numbers. Default: no, the runtime draws.
   */
  readonly feedRandom?: boolean;
}

/** Graphs that train without adakit, and what they need. */
export interface Artifacts {
  /**
   * By what it does. The training graph comes with the update as TrainingInfo once it is known where the initial values
   * are.
   */
  readonly graphs: Readonly<Record<'optimizer' | 'evaluation' | 'step', ModelProto>> & {
    readonly training: (at: (tensor: string) => TensorLocation) => ModelProto;
  };
  /** What is in the checkpoint, by name. */
  readonly checkpoint: ReadonlyMap<string, StateTensor>;
  /** All but what only written files have. */
  readonly manifest: Omit<Manifest, 'files'>;
}

/**
 * Makes graphs of a model that any program with an ONNX runtime can train it with.
 *
 * Gradients are as `gradientsGraph` has them and updates as `optimizerGraph`, with every scalar computed in the graph: what
 * is left to feed are the batch, the learning rate and the number of steps taken, which the graph counts itself.
 *
 * @throws OnnxError `unsupported-optimizer` for what a graph cannot hold: `accumulate`, `sam`, `lossScaling`,
 * `gradientNoise`; `invalid-argument` for `stepsPerRun` and for `precision: 'float16'`; or whatever {@link gradientsGraph} throws
 */
export async function exportArtifacts(model: Model, options: ArtifactOptions): Promise<Artifacts> {
  requireModel('exportArtifacts()', model);
  requireOptions('exportArtifacts()', options, {
    ...TRAINING_OPTIONS,
    target: kinds.oneOf(...Object.keys(ARTIFACT_TARGETS)),
    optimizer: kinds.anything,
    stepsPerRun: kinds.count(1),
    feedRandom: kinds.flag,
  } satisfies Record<keyof ArtifactOptions, OptionKind>);
  requireLoss(options.loss);
  requireOptimizer('exportArtifacts()', options.optimizer);
  requirePossible(options);
  const { optimizer, target: where = 'cpu', stepsPerRun = 1, feedRandom = false, ...training } = options;
  const { loss } = training;
  const target: Target = targets[ARTIFACT_TARGETS[where]];
  const gradients = gradientsGraph(model, { ...training, target, feedRandom });
  const { parameters, statistics, selection } = gradients;
  const plan = makePlan(optimizer, parameters);
  requireExportable(plan);
  const precision = parameters[0].dtype;
  const emission = { plan, scalars: 'computed' } as const;

  const summed = accumulating(gradients);
  const update = optimizerGraph(emission, { precision, target });
  const weights = [...parameters, ...statistics].map(({ name }) => name);
  const evaluation = evaluationGraph(model, { loss, target, parameters: weights });
  const one = trainStepGraph(model, { ...training, target, feedRandom, selection, ...emission });
  const step = severalSteps(one, stepsPerRun).model;
  const kept = await checkpointOf(model, gradients, optimizer, plan);

  const roles = {
    training: trainingRoles(gradients, summed),
    optimizer: optimizerRoles(update),
    evaluation: evaluationRoles(evaluation, gradients),
    step: stepRoles(one),
  };
  return {
    graphs: {
      optimizer: update.model,
      evaluation: evaluation.model,
      step,
      training: withUpdate({ gradients, summed, update }, roles, kept),
    },
    checkpoint: new Map([...kept].map(([name, { value }]) => [name, value])),
    manifest: {
      format: 'adakit-artifacts',
      version: 1,
      producer: 'adakit',
      target: { name: where, runtime: target.runtime, provider: target.provider, version: target.version },
      irVersion: Number(step.irVersion),
      opsets: opsetsOf([summed.model, update.model, evaluation.model, step]),
      precision,
      optimizer: { ...optimizer.toConfig(parameters) },
      stepsPerRun,
      graphs: {
        training: graphEntry(ARTIFACT_FILES.training, summed.model, roles.training),
        optimizer: graphEntry(ARTIFACT_FILES.optimizer, update.model, roles.optimizer),
        evaluation: graphEntry(ARTIFACT_FILES.evaluation, evaluation.model, roles.evaluation),
        step: graphEntry(ARTIFACT_FILES.step, step, roles.step),
      },
      checkpoint: { file: ARTIFACT_FILES.checkpoint },
      tensors: [...[...kept].map(([name, { value, role }]) => tensorEntry(name, value, role)), ...sums(gradients)],
      draws: [...gradients.random.inside],
    },
  };
}

/** @throws OnnxError `invalid-argument` */
function requirePossible({ precision }: ArtifactOptions): void {
  if (precision === 'float16') {
    throw new OnnxError(
      'invalid-argument',
      'artifacts cannot train in float16, which needs a scale of the loss that a host decides on; use bfloat16',
    );
  }
}

/** The tensors in which gradients add up. */
function sums({ parameters }: GradientsGraph): readonly ManifestTensor[] {
  return parameters.map(({ name, dtype, shape }) => ({
    name: gradientName(name),
    dtype,
    shape: [...shape],
    role: 'gradient',
    start: 'zeros',
  }));
}

/** The training graph with the update as TrainingInfo, once it is known where the initial values are. */
function withUpdate(
  { gradients, summed, update }: { gradients: GradientsGraph; summed: AccumulatingGraph; update: OptimizerGraph },
  roles: Readonly<Record<'training' | 'optimizer', Roles>>,
  kept: ReadonlyMap<string, Kept>,
): Artifacts['graphs']['training'] {
  const joined = new Map([
    ...gradients.parameters.map(({ name }) => [update.plan.parameters[name].input ?? name, name] as const),
    ...Object.entries(update.gradients).map(([name, input]) => [input, summed.buffers[name].output] as const),
  ]);
  const moved = gradients.statistics.map(({ name, output }) => ({ input: name, output }));
  const bindings = { update: update.model, joined, carried: carriedOf(update.plan), moved };
  return (at) => {
    const initial = [...roles.optimizer.inputs, ...roles.training.inputs].flatMap(([name, { tensor }]) => {
      if (tensor === undefined) return [];
      const found = kept.get(tensor);
      return found === undefined ? [] : [[name, { tensor: found.value, at: at(tensor) }] as const];
    });
    return withTrainingInfo(summed.model, bindings, new Map(initial));
  };
}
