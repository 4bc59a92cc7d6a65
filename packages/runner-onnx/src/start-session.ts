import {
  hostView,
  kinds,
  lossScaling,
  makePlan,
  Run,
  severalStepsProblem,
  type MaybePromise,
  type Optimizer,
  type OptionKind,
  type ParameterSpec,
  type Plan,
} from '@adakit/core';
import {
  gradientsGraph,
  initialCopies,
  initialParameters,
  OnnxError,
  readModel,
  withConstantWeights,
  withoutValues,
  withParameters,
  type ComputePrecision,
  type GradientsGraph,
  type GradientsOptions,
  type Loss,
  type Model,
  type Target,
  type TargetSpec,
  type TensorSpec,
} from '@adakit/onnx';
import { TRAINING_OPTIONS } from '@adakit/onnx/internal';
import { TrainingError } from './error.js';
import { onFirst } from './execution-provider.js';
import { requireOptions, RUNTIME_CHOICE } from './given.js';
import { hostDeviceFor, trainedWeights, type StateBuffer } from './host.js';
import { Inference } from './inference.js';
import { DeviceMemory, hasDeviceMemory } from './native/device-memory.js';
import type { NativeLibrary } from './native/library.js';
import { ResidentBuffer, residentDevice } from './native/resident-device.js';
import { isElementType, type ElementType } from './native/value.js';
import {
  parseProvider,
  withoutRecording,
  type ExecutionProviderName,
  type ProviderChoice,
} from './provider-options.js';
import { RandomNumbers } from './random-numbers.js';
import { chooseRuntime } from './runtime/choose-runtime.js';
import type { Runtime, SessionOptions } from './runtime/runtime.js';
import { Statistics } from './statistics.js';
import { GradientSteps, type Steps } from './steps.js';
import { targetHere } from './target-here.js';
import { updateThreads, withoutSpinning, type WorkerThreads } from './threads/worker-threads.js';
import type { TrainingSessionOptions } from './training-options.js';
import { WholeSteps } from './whole-steps.js';

/** What a session that has been started consists of. */
export interface SessionParts {
  /** Without the values of weights, where it was read here. */
  readonly model: Model;
  readonly inputs: readonly TensorSpec[];
  readonly targets: readonly TargetSpec[];
  readonly leftOut: readonly string[];
  /** How many steps one run of the runtime makes. */
  readonly stepsPerRun: number;
  readonly run: Run<StateBuffer>;
  readonly steps: Steps;
  readonly statistics: Statistics;
  readonly random: RandomNumbers;
  /** Whether the seed matters. */
  readonly draws: boolean;
  readonly inference: Inference;
  readonly threads: WorkerThreads | undefined;
}

/** Starts what `TrainingSession.create` gives a session of. */
export async function startSession(options: TrainingSessionOptions): Promise<SessionParts> {
  const asked = checked(options);
  const { runtime, session, stepsPerRun } = asked;
  const { model: source } = options;
  const model = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
  const random = new RandomNumbers(options.seed);
  const training = await deriveTraining(asked, model);
  const { graph, estimate } = training.graphs;
  if (options.seed !== undefined) requireSeedable([...graph.random.inside, ...(estimate?.random.inside ?? [])]);
  const place = placeOfUpdate(asked, training.plan);
  // Without something to wait for, making the runtime's session begins before `begin` does.
  await runtime.library?.ready;
  // The native runtime makes a session on another thread, which takes as long as what follows here or longer.
  const early = place.whole ? undefined : gradientSteps(asked, training, place);
  const { run, statistics, base } = await orRelease(early, () => begin(asked, model, training, place));
  const current = currentModel(base, run, statistics);
  const steps = await (early ?? wholeSteps(asked, training, place, current));
  const inference = new Inference(current, options.loss, weightNames(graph), {
    provider: withoutRecording(steps.provider),
    session,
    target: withConstantWeights(await training.targetOn(steps.provider)),
  });
  return {
    model: base,
    inputs: graph.inputs,
    targets: graph.targets,
    leftOut: graph.selection.leftOut,
    stepsPerRun,
    run,
    steps,
    statistics,
    random,
    draws: options.seed !== undefined || (estimate ?? graph).random.inputs.length > 0,
    inference,
    threads: place.threads,
  };
}

/** What is asked for, and the runtime that has it. */
interface Asked {
  readonly options: TrainingSessionOptions;
  readonly providers: readonly ProviderChoice[];
  readonly runtime: Runtime;
  readonly session: SessionOptions;
  readonly stepsPerRun: number;
}

function checked(options: TrainingSessionOptions): Asked {
  requireOptions('TrainingSession.create', options, OPTIONS);
  const { executionProviders = ['cpu'], session = {}, stepsPerRun = 1 } = options;
  const providers = executionProviders.map(parseProvider);
  if (options.memoryLimit !== undefined) requireNotRecorded(providers);
  return { options, providers, runtime: chooseRuntime(options, providers, session), session, stepsPerRun };
}

/** What a step computes, whichever provider it is on. */
interface Training {
  /** With a loss scale, where the precision asks for one. */
  readonly optimizer: Optimizer;
  readonly plan: Plan;
  /** What gradients are written with, for any target. */
  readonly gradients: Omit<GradientsOptions, 'target'>;
  /** Those for the first provider. */
  readonly graphs: StepGraphs;
  graphsFor(target: Target): StepGraphs;
  /** Known for the first provider, so that nothing has to be waited for; looked for where that has failed. */
  targetOn(provider: ProviderChoice): MaybePromise<Target>;
}

/** The graphs of a step that is not one graph. */
interface StepGraphs {
  readonly graph: GradientsGraph;
  /** The gradients of `Loss.drawn`, for an optimizer that takes them in. */
  readonly estimate: GradientsGraph | undefined;
}

/**
 * Derives the training graph, and plans its updates. The parameters to plan for are known with the graph; whether its loss is
 * scaled, and whether there is another graph, with the plan.
 */
async function deriveTraining({ options, providers, runtime }: Asked, model: Model): Promise<Training> {
  const targetFor = async (name: ExecutionProviderName) => options.target ?? (await targetHere(name, model, runtime));
  const first = providers.at(0)?.name ?? 'cpu';
  const target = await targetFor(first);
  const training = gradientsOptions(options);
  const unscaled = gradientsGraph(model, { ...training, target });
  const { parameters, selection } = unscaled;
  const optimizer = scaledFor(training.precision, options.optimizer, parameters);
  const plan = makePlan(optimizer, parameters);
  const gradients = { ...training, lossScale: plan.lossScale !== undefined, selection };
  const graph = gradients.lossScale ? gradientsGraph(model, { ...gradients, target }) : unscaled;
  const drawing = plan.estimate && { ...training, selection, ...drawnLoss(plan.estimate, options.loss) };
  const estimateFor = (lowered: Target) => drawing && gradientsGraph(model, { ...drawing, target: lowered });
  const graphs = { graph, estimate: estimateFor(target) };
  return {
    optimizer,
    plan,
    gradients,
    graphs,
    graphsFor: (lowered) =>
      lowered === target
        ? graphs
        : { graph: gradientsGraph(model, { ...gradients, target: lowered }), estimate: estimateFor(lowered) },
    targetOn: ({ name }) => (name === first ? target : targetFor(name)),
  };
}

function gradientsOptions({
  loss,
  train,
  freeze,
  precision = 'float32',
  memoryLimit,
  outputs,
}: TrainingSessionOptions) {
  return {
    loss,
    precision,
    feedRandom: true,
    ...(outputs && { outputs }),
    ...(train && { train }),
    ...(freeze && { freeze }),
    ...(memoryLimit && { memoryLimit }),
  };
}

/** Gradients of the size that they have in float32 would vanish below the range of float16. */
function scaledFor(precision: ComputePrecision, optimizer: Optimizer, parameters: readonly ParameterSpec[]): Optimizer {
  if (precision !== 'float16' || makePlan(optimizer, parameters).lossScale !== undefined) return optimizer;
  return lossScaling(optimizer);
}

/** What an estimate is made of. @throws OnnxError `unsupported-optimizer` for a loss that nothing can be drawn for */
function drawnLoss({ component }: NonNullable<Plan['estimate']>, { name, drawn }: Loss) {
  if (drawn !== undefined) return { loss: drawn, lossScale: true, outputs: [] };
  throw new OnnxError(
    'unsupported-optimizer',
    `${component.name} estimates the curvature from targets that are drawn from the model's output, and ${name} does not say how: ` +
      'crossEntropy, nll, bceWithLogits and mse do, as means without weights. Take one of them, or ' +
      `${component.name}({ estimator: 'gradient' }), which needs no drawing`,
  );
}

/** Where parameters are updated. */
interface Place {
  /** In the runtime, in one graph with the gradients. */
  readonly whole: boolean;
  /** The runtime on whose device parameters and state stay between steps; undefined where they are the host's. */
  readonly library: NativeLibrary | undefined;
  /** Those of the host that share the update. */
  readonly threads: WorkerThreads | undefined;
}

function placeOfUpdate({ options, providers, runtime, session, stepsPerRun }: Asked, plan: Plan): Place {
  const { update = 'auto' } = options;
  const several = stepsPerRun !== 1;
  const fused = update === 'fused' || (update === 'auto' && !several && providers.at(0)?.name === 'cpu');
  const whole = !fused && plan.perturbStages.length === 0 && plan.estimate === undefined;
  // On the CPU there is nothing to cross between.
  const staysOnDevice = whole && providers.every(hasDeviceMemory) && !(several && providers.every(isCpu));
  const library = staysOnDevice ? runtime.library : undefined;
  if (several) requireSeveral(stepsPerRun, plan, { fused, resident: library !== undefined });
  // onnxruntime-node takes no memory that threads share.
  const threads = whole || runtime.library === undefined ? undefined : updateThreads(plan, session);
  return { whole, library, threads };
}

/** Gradients from the first provider that works; with the first of all, made without waiting for anything else. */
function gradientSteps({ providers, runtime, session }: Asked, training: Training, { threads }: Place): Promise<Steps> {
  const own = threads ? withoutSpinning(session) : session;
  return onFirst(runtime, providers, async (provider) => {
    const target = training.targetOn(provider);
    const { graph, estimate } = training.graphsFor(target instanceof Promise ? await target : target);
    return GradientSteps.create(graph, { provider, session: own }, estimate);
  });
}

/** Whole steps on the first provider that works, with its memory where the state is to stay there. */
function wholeSteps(
  { providers, runtime, session, stepsPerRun }: Asked,
  { plan, gradients, graphs: { graph }, targetOn }: Training,
  { library }: Place,
  model: () => Model,
): Promise<Steps> {
  return onFirst(runtime, providers, async (provider) =>
    WholeSteps.create({
      model,
      options: { ...gradients, target: await targetOn(provider) },
      plan,
      runtime: { provider, session },
      stepsPerRun,
      memory: library && (await DeviceMemory.create(library, provider, elementTypes(graph))),
    }),
  );
}

/** The run and the running statistics as the model has them, and the model to put them in later. */
function begin(
  { options: { model: source, nonFinite } }: Asked,
  model: Model,
  { optimizer, plan, graphs: { graph } }: Training,
  { whole, library, threads }: Place,
) {
  const { parameters, statistics } = graph;
  const [{ dtype }] = parameters;
  const copies = initialCopies(model, parameters);
  const run = Run.start(
    library === undefined ? hostDeviceFor(plan, dtype, threads) : residentDevice(dtype),
    optimizer,
    Object.fromEntries(
      parameters.map(({ name, shape, role }) => {
        const write = (buffer: StateBuffer): void => {
          copies[name](buffer instanceof ResidentBuffer ? buffer.overwrite() : hostView(buffer));
        };
        return [name, { write, shape, ...(role && { role }) }];
      }),
    ),
    { ...(nonFinite && { nonFinite }) },
  );
  if (!whole) run.prepare();
  return {
    run,
    statistics: new Statistics(statistics, initialParameters(model, statistics)),
    // Bytes and models are the caller's. What was read here need not be kept beside the weights of the run.
    base: typeof source === 'string' ? withoutValues(model, weightNames(graph)) : model,
  };
}

/** What `make` makes; where it fails, steps that are being made are released, as nobody else has them. */
async function orRelease<T>(steps: Promise<Steps> | undefined, make: () => T): Promise<T> {
  try {
    return make();
  } catch (error) {
    await steps?.then(
      (made) => made.release(),
      () => undefined,
    );
    throw error;
  }
}

/** The model with the weights of a moment. Made apart: a function made where the file's bytes are known would keep them. */
function currentModel(base: Model, run: Run<StateBuffer>, statistics: Statistics): () => Model {
  return () => withParameters(base, { ...trainedWeights(run), ...statistics.values });
}

/** Initializers of the model that have values of their own in a session. */
function weightNames({ parameters, statistics }: GradientsGraph): readonly string[] {
  return [...parameters, ...statistics].map(({ name }) => name);
}

/** What may have to be copied to a device beside the state. */
function elementTypes({ inputs, targets }: GradientsGraph): ElementType[] {
  const fed = [...inputs, ...targets].flatMap(({ dtype }) => (isElementType(dtype) ? [dtype] : []));
  return ['float32', 'float64', 'bool', ...fed];
}

function isCpu({ name }: ProviderChoice): boolean {
  return name === 'cpu';
}

const OPTIONS: Readonly<Record<keyof TrainingSessionOptions, OptionKind>> = {
  ...TRAINING_OPTIONS,
  ...RUNTIME_CHOICE,
  model: kinds.required(
    kinds.kind(
      'a path, a Uint8Array or what readModel() gives',
      (model) => typeof model === 'string' || model instanceof Uint8Array || 'graph' in (Object(model) as object),
    ),
  ),
  optimizer: kinds.anything,
  executionProviders: kinds.kind("a list, such as ['cpu']", Array.isArray),
  update: kinds.oneOf('auto', 'fused', 'graph'),
  stepsPerRun: kinds.count(1),
  nonFinite: kinds.oneOf('refuse', 'skip', 'scaleBack'),
  seed: kinds.seed,
  outputs: kinds.names,
  session: kinds.object,
};

/** What is computed again waits for a number that the host reads, which a recording cannot hold. */
function requireNotRecorded(providers: readonly ProviderChoice[]): void {
  if (!providers.some((provider) => provider.options['enableCudaGraph'] === true)) return;
  throw new TrainingError(
    'invalid-option',
    'memoryLimit and enableCudaGraph exclude each other: leave one of them out',
  );
}

/** What the steps of one run must have: they are computed where nobody sees what is between them. */
function requireSeveral(
  count: number,
  plan: Plan,
  { fused, resident }: { readonly fused: boolean; readonly resident: boolean },
): void {
  const refuse = (why: string): never => {
    throw new TrainingError('invalid-option', why);
  };
  const problem = severalStepsProblem(plan);
  if (problem !== undefined) refuse(`stepsPerRun cannot be ${count}: ${problem}; leave it out`);
  if (fused) refuse("stepsPerRun has the update in the graph: leave update out, or take 'graph'");
  if (resident) {
    refuse(
      'stepsPerRun is for onnxruntime-node; the native runtime leaves parameters and state on the device between steps. ' +
        "Leave it out, or take runtime: 'node'",
    );
  }
}

/** A seed that does not decide on everything would promise too much. */
function requireSeedable(inside: readonly string[]): void {
  if (inside.length === 0) return;
  throw new TrainingError(
    'invalid-option',
    `a seed cannot decide what the model draws at ${inside.join(', ')}: in the body of a loop, or of a shape that only a ` +
      'run tells; leave seed out, and the runtime draws there',
  );
}
