import {
  makePlan,
  referenceDevice,
  Run,
  type JsonObject,
  type Optimizer,
  type Plan,
  type Precision,
  type Stage,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import type { ModelProto, ValueInfoProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { describeValue } from '../graph/from-model.js';
import { Graph } from '../graph/graph.js';
import type { DType } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { stepStages, type PlanBindings, type TensorBinding } from '../optimizer/emit-plan.js';
import type { Target } from '../target/target.js';
import { targets, type TargetName } from '../target/targets.js';
import {
  evaluationGraph,
  gradientsGraph,
  optimizerGraph,
  trainStepGraph,
  type TrainingGraph,
  type TrainingOptions,
} from '../training/graphs.js';
import { initialParameters } from '../training/trained-model.js';
import { accumulating } from './accumulation.js';
import type { Manifest, ManifestInput, ManifestOutput, ManifestTensor, Role } from './manifest.js';
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

/** A tensor that is kept between runs. */
export interface StateTensor {
  readonly dtype: Precision | 'int64';
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array;
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

/** What the manifest says of a value beside its name, dtype and shape. */
type About = Omit<ManifestInput, 'name' | 'dtype' | 'shape'>;

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
  const { loss, optimizer, train, freeze, target: where = 'cpu', stepsPerRun = 1, feedRandom = false } = options;
  const { memoryLimit } = options;
  const { precision: computing = 'float32' } = options;
  if (!Number.isSafeInteger(stepsPerRun) || stepsPerRun < 1) {
    throw new OnnxError('invalid-argument', `stepsPerRun must be a whole number of at least 1, got ${stepsPerRun}`);
  }
  if (!Object.hasOwn(ARTIFACT_TARGETS, where)) {
    const known = Object.keys(ARTIFACT_TARGETS).join(', ');
    throw new OnnxError('invalid-argument', `target is one of ${known}, got ${JSON.stringify(where)}`);
  }
  if (computing === 'float16') {
    throw new OnnxError(
      'invalid-argument',
      'artifacts cannot train in float16, which needs a scale of the loss that a host decides on; use bfloat16',
    );
  }
  const target: Target = targets[ARTIFACT_TARGETS[where]];
  const training = {
    loss,
    target,
    feedRandom,
    precision: computing,
    ...(train && { train }),
    ...(freeze && { freeze }),
    ...(memoryLimit && { memoryLimit }),
  };
  const gradients = gradientsGraph(model, training);
  const plan = makePlan(optimizer, gradients.parameters);
  requireExportable(plan);
  const precision = gradients.parameters[0].dtype;
  const summed = accumulating(gradients);
  const update = optimizerGraph({ plan, scalars: 'computed' }, { precision, target });
  const weights = [...gradients.parameters, ...gradients.statistics];
  const evaluation = evaluationGraph(model, { loss, target, parameters: weights.map(({ name }) => name) });
  const whole = trainStepGraph(model, { ...training, plan, scalars: 'computed', selection: gradients.selection });

  const state = await initialState(model, gradients, optimizer);
  const tensors = stateTensors(plan, gradients, state);
  const buffers = gradients.parameters.map(({ name, dtype, shape }): ManifestTensor => ({
    name: gradientName(name),
    dtype,
    shape: [...shape],
    role: 'gradient',
    start: 'zeros',
  }));

  const batch = batchInputs(gradients);
  const statisticsIn = about(gradients.statistics, ({ name }) => name, 'statistic');
  const statisticsOut = about(gradients.statistics, ({ output }) => output, 'statistic');
  const parametersIn = about(gradients.parameters, ({ name }) => name, 'parameter');
  const gradientOf = (parameter: string): About => ({ role: 'gradient', tensor: gradientName(parameter), parameter });
  const trainingIn = new Map<string, About>([
    ...batch,
    ...parametersIn,
    ...statisticsIn,
    [summed.reset, { role: 'reset' }],
    ...Object.entries(summed.buffers).map(([name, { input }]) => [input, gradientOf(name)] as const),
  ]);
  const trainingOut = new Map<string, About>([
    [gradients.loss, { role: 'loss' }],
    ...statisticsOut,
    ...Object.entries(summed.buffers).map(([name, { output }]) => [output, gradientOf(name)] as const),
  ]);
  const updated = planInputs(update.plan);
  const optimizerIn = new Map<string, About>([
    ...updated.inputs,
    ...Object.entries(update.gradients).map(([name, input]) => [input, gradientOf(name)] as const),
  ]);
  const evaluationIn = new Map<string, About>([
    ...batch,
    ...targetInputs(evaluation.targets),
    ...parametersIn,
    ...statisticsIn,
  ]);
  const evaluationOut = new Map<string, About>([
    ...evaluation.outputs.map((name) => [name, { role: 'output' }] as const),
    [evaluation.loss, { role: 'loss' }],
  ]);
  const inStep = planInputs(whole.plan);
  const stepIn = new Map<string, About>([
    ...batchInputs(whole),
    ...inStep.inputs,
    ...about(whole.statistics, ({ name }) => name, 'statistic'),
  ]);
  const stepOut = new Map<string, About>([
    [whole.loss, { role: 'loss' }],
    ...inStep.outputs,
    ...about(whole.statistics, ({ output }) => output, 'statistic'),
  ]);
  const { model: step } = severalSteps(whole, stepsPerRun);

  const joined = new Map([
    ...gradients.parameters.map(({ name }) => [update.plan.parameters[name].input ?? name, name] as const),
    ...Object.entries(update.gradients).map(([name, input]) => [input, summed.buffers[name].output] as const),
  ]);
  const names = new Map(
    [...optimizerIn, ...statisticsIn].flatMap(([name, { tensor }]) => (tensor === undefined ? [] : [[name, tensor]])),
  );
  return {
    graphs: {
      optimizer: update.model,
      evaluation: evaluation.model,
      step,
      training: (at) =>
        withTrainingInfo(
          summed.model,
          {
            update: update.model,
            joined,
            carried: carriedOf(update.plan),
            moved: gradients.statistics.map(({ name, output }) => ({ input: name, output })),
          },
          new Map(
            [...names].flatMap(([name, tensor]) => {
              const found = tensors.get(tensor);
              return found === undefined ? [] : [[name, { tensor: found.value, at: at(tensor) }] as const];
            }),
          ),
        ),
    },
    checkpoint: new Map([...tensors].map(([name, { value }]) => [name, value])),
    manifest: {
      format: 'adakit-artifacts',
      version: 1,
      producer: 'adakit',
      target: { name: where, runtime: target.runtime, provider: target.provider, version: target.version },
      irVersion: Number(step.irVersion),
      opsets: opsetsOf([summed.model, update.model, evaluation.model, step]),
      precision,
      optimizer: { ...optimizer.toConfig(gradients.parameters) },
      stepsPerRun,
      graphs: {
        training: described(ARTIFACT_FILES.training, summed.model, trainingIn, trainingOut),
        optimizer: described(ARTIFACT_FILES.optimizer, update.model, optimizerIn, updated.outputs),
        evaluation: described(ARTIFACT_FILES.evaluation, evaluation.model, evaluationIn, evaluationOut),
        step: described(ARTIFACT_FILES.step, step, stepIn, stepOut),
      },
      checkpoint: { file: ARTIFACT_FILES.checkpoint },
      tensors: [...[...tensors].map(([name, { value, role }]) => entryOf(name, value, role)), ...buffers],
      draws: [...gradients.random.inside],
    },
  };
}

function gradientName(parameter: string): string {
  return `${parameter}_grad`;
}

/** @throws OnnxError `unsupported-optimizer` naming the piece, and what to do instead */
function requireExportable(plan: Plan): void {
  const refuse = (what: string, instead: string): never => {
    throw new OnnxError('unsupported-optimizer', `${what} cannot be exported: ${instead}`);
  };
  if (plan.batches !== undefined) {
    refuse(
      'accumulate()',
      'leave it out; training_model.onnx adds up the gradients of as many batches as it is run on',
    );
  }
  if (plan.perturbStages.length > 0) {
    refuse('sam()', 'it takes the gradient twice a step, and a graph has one; leave it out');
  }
  if (plan.estimate !== undefined) {
    const { name } = plan.estimate.component;
    refuse(
      name,
      'it takes in a second gradient every so many steps, of labels that are drawn, and the graphs have one gradient a step; ' +
        'train with a TrainingSession (adakit train), or export another optimizer, such as adamw or lion',
    );
  }
  if (plan.lossScale !== undefined) {
    refuse('lossScaling()', 'its factor follows from which steps were refused, which a host decides; leave it out');
  }
  for (const program of stepStages(plan).flatMap(programsOf)) {
    if (program.instructions.some(({ form }) => form === 'random')) {
      refuse(`the random numbers of ${program.name}`, 'they come from a generator of adakit; leave the noise out');
    }
  }
}

function programsOf(stage: Stage) {
  return stage.kind === 'total' ? [stage.program] : stage.calls.map(({ program }) => program);
}

/** What a run holds before its first step. */
async function initialState(
  model: Model,
  { parameters, statistics }: TrainingGraph,
  optimizer: Optimizer,
): Promise<TrainingState> {
  const values = initialParameters(model, parameters);
  const run = Run.start(
    referenceDevice(parameters[0].dtype),
    optimizer,
    Object.fromEntries(parameters.map(({ name, role }) => [name, { value: values[name], ...(role && { role }) }])),
  );
  const state = await run.state();
  await run.dispose();
  return { ...state, statistics: initialParameters(model, statistics) };
}

interface Kept {
  readonly value: StateTensor;
  readonly role: ManifestTensor['role'];
}

function stateTensors(
  plan: Plan,
  { statistics, parameters }: TrainingGraph,
  { parameters: states, globals = {}, statistics: values = {} }: TrainingState,
): ReadonlyMap<string, Kept> {
  const tensors = new Map<string, Kept>();
  const add = (name: string, role: Kept['role'], { dtype, shape, data }: StateTensor | TensorData): void => {
    if (tensors.has(name)) {
      throw new OnnxError(
        'invalid-argument',
        `'${name}' is the name of a parameter and of what training keeps beside; give the parameter another name`,
      );
    }
    tensors.set(name, { role, value: { dtype, shape, data } });
  };
  for (const { name } of parameters) add(name, 'parameter', states[name].value);
  for (const { name } of parameters) {
    for (const [slot, value] of Object.entries(states[name].slots)) add(`${slot}/${name}`, 'slot', value);
  }
  const single = parameters[0].dtype === 'float64' ? Float64Array : Float32Array;
  for (const { name, start } of plan.globals) {
    const value = globals[name] ?? start;
    add(`global/${name}`, 'global', { dtype: parameters[0].dtype, shape: [], data: single.of(value) });
  }
  for (const { name } of statistics) add(name, 'statistic', values[name] as TensorData);
  add('step', 'step', { dtype: 'int64', shape: [1], data: BigInt64Array.of(0n) });
  return tensors;
}

function entryOf(name: string, { dtype, shape }: StateTensor, role: ManifestTensor['role']): ManifestTensor {
  return { name, dtype, shape: [...shape], role, start: 'checkpoint' };
}

function about<T extends { readonly name: string }>(
  specs: readonly T[],
  nameOf: (spec: T) => string,
  role: Role,
): readonly (readonly [string, About])[] {
  return specs.map((spec) => [nameOf(spec), { role, tensor: spec.name }] as const);
}

function batchInputs({ inputs, targets: wanted, random }: TrainingGraph): readonly (readonly [string, About])[] {
  return [
    ...inputs.map(({ name }) => [name, { role: 'batch' }] as const),
    ...targetInputs(wanted),
    ...random.inputs.map(({ name, draw }): [string, About] => [
      name,
      { role: 'random', distribution: draw.distribution, ...('rate' in draw && { rate: draw.rate }) },
    ]),
  ];
}

function targetInputs(specs: TrainingGraph['targets']): readonly (readonly [string, About])[] {
  return specs.map(
    ({ name, classes }) => [name, { role: 'target', ...(classes !== undefined && { classes }) }] as const,
  );
}

/** What the inputs and outputs of a graph with an update in it are. */
function planInputs(plan: PlanBindings): {
  readonly inputs: readonly (readonly [string, About])[];
  readonly outputs: ReadonlyMap<string, About>;
} {
  const bindings: (readonly [TensorBinding, About])[] = [
    ...Object.entries(plan.parameters).map(
      ([name, binding]) => [binding, { role: 'parameter', tensor: name }] as const,
    ),
    ...Object.entries(plan.slots).flatMap(([parameter, slots]) =>
      Object.entries(slots).map(
        ([slot, binding]) => [binding, { role: 'slot', tensor: `${slot}/${parameter}`, parameter }] as const,
      ),
    ),
    ...Object.entries(plan.globals).map(
      ([name, binding]) => [binding, { role: 'global', tensor: `global/${name}` }] as const,
    ),
    ...(plan.clock === undefined ? [] : [[plan.clock.step, { role: 'step', tensor: 'step' }] as const]),
  ];
  const pick = (key: keyof TensorBinding): (readonly [string, About])[] =>
    bindings.flatMap(([binding, what]) => {
      const name = binding[key];
      return name === undefined ? [] : [[name, what] as const];
    });
  const settings = (plan.clock?.hyperparameters ?? []).map(
    ({ input, name, value, schedule }): readonly [string, About] => [
      input,
      {
        role: name === 'lr' ? 'lr' : 'hyperparameter',
        value,
        ...(schedule !== undefined && { schedule: JSON.parse(JSON.stringify(schedule)) as JsonObject }),
      },
    ],
  );
  return {
    inputs: [...pick('input'), ...settings],
    outputs: new Map([...pick('output'), [plan.finite, { role: 'finite' }]]),
  };
}

function described(
  file: string,
  { graph }: ModelProto,
  inputs: ReadonlyMap<string, About>,
  outputs: ReadonlyMap<string, About>,
): Manifest['graphs']['training'] {
  const shapes = new Graph(file);
  const tensor = (info: ValueInfoProto, what: About | undefined): ManifestInput => {
    if (what === undefined) throw new Error(`nothing is known of '${info.name}' in ${file}`);
    const { dtype, shape = [] } = describeValue(shapes, info);
    return {
      name: info.name,
      dtype: dtype ?? ('float32' satisfies DType),
      shape: shape.map((dim) => (typeof dim === 'number' ? dim : String(dim))),
      ...what,
    };
  };
  return {
    file,
    inputs: (graph?.input ?? []).map((info) => tensor(info, inputs.get(info.name))),
    outputs: (graph?.output ?? []).map((info): ManifestOutput => tensor(info, outputs.get(info.name))),
  };
}

function opsetsOf(models: readonly ModelProto[]): Record<string, number> {
  return Object.fromEntries(
    models.flatMap(({ opsetImport }) => opsetImport.map(({ domain, version }) => [domain, Number(version)] as const)),
  );
}
