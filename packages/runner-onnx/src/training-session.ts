import {
  hostView,
  kindOf,
  lossScaling,
  makePlan,
  Run,
  sameShape,
  severalStepsProblem,
  type ChangeScope,
  type Exclusive,
  type HyperparameterValues,
  type JsonObject,
  type NamedTensors,
  type NonFinitePolicy,
  type Optimizer,
  type ParameterSpec,
  type Plan,
  type Stateful,
  type StepReport,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { requireState } from '@adakit/core/states';
import { readState, writeState, writeWithData } from '@adakit/state/node';
import {
  asWritten,
  externalize,
  gradientsGraph,
  inferenceForm,
  initialCopies,
  initialParameters,
  OnnxError,
  readModel,
  withConstantWeights,
  withoutValues,
  withParameters,
  writeModel,
  type ComputePrecision,
  type GradientsOptions,
  type Loss,
  type MemoryLimit,
  type Model,
  type Target,
  type TargetSpec,
  type TensorSpec,
  type TrainableOptions,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import { onFirst, type ChosenProvider } from './execution-provider.js';
import { sampleCount, toFeeds, type Batch } from './feeds.js';
import { hostDeviceFor, type StateBuffer } from './host.js';
import { Inference, type Evaluation, type WeightsInUse } from './inference.js';
import { DeviceMemory, hasDeviceMemory } from './native/device-memory.js';
import { ResidentBuffer, residentDevice } from './native/resident-device.js';
import { isElementType, type ElementType } from './native/value.js';
import {
  parseProvider,
  withoutRecording,
  type ExecutionProvider,
  type ExecutionProviderName,
  type ProviderChoice,
} from './provider-options.js';
import { RandomNumbers } from './random-numbers.js';
import { chooseRuntime, type RuntimeChoice } from './runtime/choose-runtime.js';
import { reportRuntime, type RuntimeReport } from './runtime/report.js';
import type { SessionOptions } from './runtime/runtime.js';
import { Statistics } from './statistics.js';
import { GradientSteps, type Feeds, type Steps } from './steps.js';
import { targetHere } from './target-here.js';
import { updateThreads, withoutSpinning, type WorkerThreads } from './threads/worker-threads.js';
import { WholeSteps } from './whole-steps.js';

/** What a {@link TrainingSession} trains, and how. */
export interface TrainingSessionOptions extends TrainableOptions, RuntimeChoice {
  /** An ONNX inference model: its path, its bytes, or one that has been read (and edited: a new head, adapters). */
  readonly model: string | Uint8Array | Model;
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /**
   * Tried in order; the first that works runs everything. Names, or names with options: `{ name: 'cuda', deviceId: 1 }`.
   * Default: `['cpu']`.
   */
  readonly executionProviders?: readonly ExecutionProvider[];
  /**
   * Where the update is computed: `fused` in one loop on the host, `graph` inside ONNX Runtime. `auto`, the default,
   * is `fused` on the CPU and `graph` elsewhere. An optimizer that takes the gradient twice a step (`sam`, `sophia`) is
   * always `fused`.
   */
  readonly update?: 'auto' | 'fused' | 'graph';
  /**
   * How many steps one run of the runtime makes in {@link TrainingSession.steps}. The update is in the graph then, and
   * parameters and state cross between host and device once for all of them. Worth it on CUDA through onnxruntime-node; the
   * native runtime leaves them on the device anyway. Default: 1.
   */
  readonly stepsPerRun?: number;
  /**
   * What the graphs are written for. Default: ONNX Runtime on the provider that is used, `targets.portable` for one without a
   * target of its own. For comparing formulations.
   */
  readonly target?: Target;
  /**
   * What products are computed in; parameters, state, losses and updates are float32 in any case, and so are `evaluate` and
   * `predict`. With `float16` the loss is scaled dynamically (`lossScaling`), unless the optimizer says how. `bfloat16` is for
   * CUDA. Default: `float32`, the model as it is.
   */
  readonly precision?: ComputePrecision;
  /**
   * How much a step may keep at a time of what it computes, with the sizes of free dimensions that this is for:
   * `{ bytes: 2 ** 30, dims: { batch: 128 } }`. Where a step would keep more, it computes a part of its forward pass again, with
   * the same numbers. Weights, gradients, state and batches are not in it, nor what the runtime takes beside. Default: no limit.
   */
  readonly memoryLimit?: MemoryLimit;
  /** What to do with a step whose loss or gradients are not finite. Default: `refuse`, an error that names parameters. */
  readonly nonFinite?: NonFinitePolicy;
  /**
   * Of what is drawn in training, the model's dropout and noise and Sophia's labels: a whole number in [0, 2³²). The same
   * seed makes the same run. It is part of the state. Default: another one every time.
   */
  readonly seed?: number;
  /** Outputs of the model that steps give as well, as they are in training mode. Default: none. */
  readonly outputs?: readonly string[];
  /** Passed on to ONNX Runtime, e.g. `{ intraOpNumThreads: 2 }`. */
  readonly session?: SessionOptions;
}

/** How long a call may take. */
export interface AbortOptions {
  /** Ends the call with the signal's reason; nothing has changed then, and the session goes on. */
  readonly signal?: AbortSignal;
}

/** What belongs to several steps. */
export interface StepsOptions extends AbortOptions {
  /** Told of each step once it is taken, in order. Default: nobody. */
  readonly onStep?: (result: StepResult) => void;
}

/** Which of the weights that an optimizer keeps are meant. */
export interface WeightsOptions extends AbortOptions {
  /**
   * Which weights: those being `trained`, or what the optimizer keeps beside, e.g. `averaged`. Default: `averaged` where
   * the optimizer averages weights, `trained` elsewhere.
   */
  readonly weights?: string;
}

/** How a trained model is written. */
export interface ExportOptions extends Pick<WeightsOptions, 'weights'> {
  /** Whether to keep the weights in a file of their own. By default where a protobuf message cannot hold them. */
  readonly externalData?: boolean;
  /**
   * Element types of weights, inputs and outputs: those of the original `file`, the default, or `float32` where that has
   * them in half precision (float16, bfloat16), which is what training has computed in.
   */
  readonly precision?: 'file' | 'float32';
}

/** What is known of a batch beside its tensors. */
export interface BatchOptions extends AbortOptions {
  /**
   * Samples in the batch, by which batches count whose gradients are collected. Default: the size of the first free
   * dimension of the inputs.
   */
  readonly samples?: number;
}

/** What to keep in a state beside what the session knows. */
export interface StateOptions {
  /** Where the caller is in the data, or whatever else it needs to go on: anything that JSON holds, in an object. */
  readonly data?: JsonObject;
}

/** What a step reports. */
export interface StepResult extends StepReport {
  /** The loss of the batch before the update. */
  readonly loss: number;
  /** Those that {@link TrainingSessionOptions.outputs} names, before the update. */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/**
 * Trains an ONNX model on stock ONNX Runtime: a {@link Run} with a model as the source of its gradients. Calls are carried
 * out one after the other, in the order made.
 *
 * @example
 * ```ts
 * const session = await TrainingSession.create({ model: 'model.onnx', loss: crossEntropy(), optimizer: adam() });
 * const { loss } = await session.step({ image, labels });
 * await session.exportModel('trained.onnx');
 * await session.dispose();
 * ```
 */
export class TrainingSession implements Stateful {
  /** Inputs and targets that {@link step} takes. */
  readonly inputs: readonly (TensorSpec | TargetSpec)[];
  /** How many steps one run makes in {@link steps}. */
  readonly stepsPerRun: number;
  /** Without the values of weights, where it was read here. */
  readonly #model: Model;
  readonly #modelInputs: readonly TensorSpec[];
  readonly #run: Run<StateBuffer>;
  readonly #steps: Steps;
  readonly #statistics: Statistics;
  readonly #random: RandomNumbers;
  /** Whether the seed matters. */
  readonly #draws: boolean;
  readonly #inference: Inference;
  readonly #threads: WorkerThreads | undefined;
  /** Counts changes of the weights. */
  #version = 0;
  #released: Promise<void> | undefined;

  private constructor(parts: {
    readonly model: Model;
    readonly inputs: readonly TensorSpec[];
    readonly targets: readonly TargetSpec[];
    readonly stepsPerRun: number;
    readonly run: Run<StateBuffer>;
    readonly steps: Steps;
    readonly statistics: Statistics;
    readonly random: RandomNumbers;
    readonly draws: boolean;
    readonly inference: Inference;
    readonly threads: WorkerThreads | undefined;
  }) {
    this.inputs = [...parts.inputs, ...parts.targets];
    this.stepsPerRun = parts.stepsPerRun;
    this.#model = parts.model;
    this.#modelInputs = parts.inputs;
    this.#run = parts.run;
    this.#steps = parts.steps;
    this.#statistics = parts.statistics;
    this.#random = parts.random;
    this.#draws = parts.draws;
    this.#inference = parts.inference;
    this.#threads = parts.threads;
  }

  /**
   * Reads the model, derives its training graph and starts the runtime.
   *
   * @throws OnnxError for a model that cannot be read or trained, with all reasons; AdakitError for an optimizer that
   * does not fit its parameters; TrainingError `no-execution-provider`, `refused-model` with the node that ONNX Runtime
   * refuses, `invalid-option` for a seed out of range or of a model that draws where it cannot be told what, for a memory
   * limit with recorded CUDA graphs, and for several steps a run where that cannot be; OnnxError `too-large` for a memory
   * limit out of reach
   */
  static async create(options: TrainingSessionOptions): Promise<TrainingSession> {
    requireChoices(options);
    const { model: source, loss, train, freeze } = options;
    const { executionProviders = ['cpu'], update = 'auto', session = {}, nonFinite, precision = 'float32' } = options;
    const { memoryLimit, stepsPerRun = 1 } = options;
    const providers = executionProviders.map(parseProvider);
    if (memoryLimit !== undefined) requireNotRecorded(providers);
    const chosen = chooseRuntime(options, providers, session);
    const model = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
    const random = new RandomNumbers(options.seed);
    const training: GradientsOptions = {
      loss,
      precision,
      feedRandom: true,
      ...(options.outputs && { outputs: options.outputs }),
      ...(train && { train }),
      ...(freeze && { freeze }),
      ...(memoryLimit && { memoryLimit }),
    };
    const targetFor = async (name: ExecutionProviderName) => options.target ?? (await targetHere(name, model, chosen));
    const first = providers.at(0)?.name ?? 'cpu';
    const target = await targetFor(first);
    const unscaled = gradientsGraph(model, { ...training, target });
    const optimizer = scaledFor(precision, options.optimizer, unscaled.parameters);
    const plan = makePlan(optimizer, unscaled.parameters);
    const scaling = { ...training, lossScale: plan.lossScale !== undefined, selection: unscaled.selection };
    const graph = scaling.lossScale ? gradientsGraph(model, { ...scaling, target }) : unscaled;
    const { inputs, targets, parameters } = graph;
    const drawing = plan.estimate && { ...training, selection: unscaled.selection, ...drawnLoss(plan.estimate, loss) };
    const estimate = drawing && gradientsGraph(model, { ...drawing, target });
    if (options.seed !== undefined) requireSeedable([...graph.random.inside, ...(estimate?.random.inside ?? [])]);

    const several = stepsPerRun !== 1;
    const fused = update === 'fused' || (update === 'auto' && !several && providers.at(0)?.name === 'cpu');
    const whole = !fused && plan.perturbStages.length === 0 && plan.estimate === undefined;
    // On the CPU there is nothing to cross between.
    const staysOnDevice = whole && providers.every(hasDeviceMemory) && !(several && providers.every(isCpu));
    const library = staysOnDevice ? chosen.library : undefined;
    if (several) requireSeveral(stepsPerRun, plan, { fused, resident: library !== undefined });
    // onnxruntime-node takes no memory that threads share.
    const threads = whole || chosen.library === undefined ? undefined : updateThreads(plan, session);
    /** Known for the first provider, so that nothing has to be waited for; looked for where that has failed. */
    const targetOn = ({ name }: ChosenProvider) => (name === first ? target : targetFor(name));
    const gradientSteps = (provider: ChosenProvider, lowered: Target) =>
      GradientSteps.create(
        lowered === target ? graph : gradientsGraph(model, { ...scaling, target: lowered }),
        { provider, session: threads ? withoutSpinning(session) : session },
        drawing && (lowered === target ? estimate : gradientsGraph(model, { ...drawing, target: lowered })),
      );
    // Without something to wait for, making the session begins before `begin` does.
    await chosen.library?.ready;
    // The native runtime makes a session on another thread, which takes as long as what follows here or longer.
    const early = whole
      ? undefined
      : onFirst(chosen, providers, (provider) => {
          const lowered = targetOn(provider);
          return lowered instanceof Promise
            ? lowered.then((found) => gradientSteps(provider, found))
            : gradientSteps(provider, lowered);
        });
    const weights = [...parameters, ...graph.statistics].map(({ name }) => name);
    const begin = () => {
      const copies = initialCopies(model, parameters);
      const run = Run.start(
        library === undefined ? hostDeviceFor(plan, parameters[0].dtype, threads) : residentDevice(parameters[0].dtype),
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
      const statistics = new Statistics(graph.statistics, initialParameters(model, graph.statistics));
      // Bytes and models are the caller's. What was read here need not be kept beside the weights of the run.
      const base = typeof source === 'string' ? withoutValues(model, weights) : model;
      return { run, statistics, base };
    };
    const { run, statistics, base } = await orRelease(early, begin);
    const current = currentModel(base, run, statistics);
    const steps =
      (await early) ??
      (await onFirst(chosen, providers, async (provider) =>
        WholeSteps.create({
          model: current,
          options: { ...scaling, target: await targetOn(provider) },
          plan,
          runtime: { provider, session },
          stepsPerRun,
          memory: library && (await DeviceMemory.create(library, provider, elementTypes([...inputs, ...targets]))),
        }),
      ));
    const inference = new Inference(current, loss, weights, {
      provider: withoutRecording(steps.provider),
      session,
      target: withConstantWeights(await targetOn(steps.provider)),
    });
    const draws = options.seed !== undefined || (estimate ?? graph).random.inputs.length > 0;
    return new TrainingSession({
      model: base,
      inputs,
      targets,
      stepsPerRun,
      run,
      steps,
      statistics,
      random,
      draws,
      inference,
      threads,
    });
  }

  /** The execution provider in use. */
  get executionProvider(): ExecutionProviderName {
    return this.#steps.provider.name;
  }

  /** How ONNX Runtime is reached and why so, and what that means for the provider. */
  get runtime(): RuntimeReport {
    return reportRuntime(this.#steps.provider, this.#steps.memory, this.#threads);
  }

  /** Names of the parameters being trained. */
  get parameters(): readonly string[] {
    return this.#run.parameters.map(({ name }) => name);
  }

  /** The parameters being trained as groups see them, with their shapes and roles. */
  get parameterSpecs(): readonly ParameterSpec[] {
    return this.#run.parameters;
  }

  /** The optimizer with its current hyperparameters. */
  get optimizer(): Optimizer {
    return this.#run.optimizer;
  }

  /** Steps taken so far. */
  get stepCount(): number {
    return this.#run.step;
  }

  /** Steps skipped so far because something was not finite. */
  get skipped(): number {
    return this.#run.skipped;
  }

  /** Names of the weights that can be evaluated, predicted with and exported. */
  get views(): readonly string[] {
    return this.#run.views;
  }

  /**
   * Changes hyperparameters from the next step on that is asked for after this call. A wrapper's are named with it:
   * `{ 'ema.decay': 0.99 }`.
   *
   * @param scope `{ group }`: a group's own, or those of `all`. Default: the main optimizer's, and groups as far as they
   * have not set the hyperparameter themselves
   * @throws AdakitError for an unknown name, group, or a value out of range
   */
  setHyperparameters(changes: HyperparameterValues, scope: ChangeScope = {}): void {
    this.#run.setHyperparameters(changes, scope);
    // Other weights than those being trained may depend on them.
    this.#version++;
  }

  /**
   * Hyperparameters as the next step has them, with what schedules make of them: `lr`, and `ema.decay` of a wrapper.
   *
   * @param group name of a group. Default: what parameters have that no group chooses, or would have
   * @throws AdakitError `unknown-parameter` for a group that there is not
   */
  hyperparameters(group?: string): Promise<HyperparameterValues> {
    return this.#run.hyperparameters(group);
  }

  /** Tells schedules on plateaus how training goes, e.g. a validation loss after every epoch. */
  reportMetric(metric: number): void {
    this.#run.reportMetric(metric);
  }

  /** Numbers that belong to all parameters together, e.g. `clipByGlobalNorm.norm`, the norm found in the last step. */
  globals(): Promise<Readonly<Record<string, number>>> {
    return this.#run.globals();
  }

  /**
   * One training step, or one of several batches that make a step.
   *
   * @throws TrainingError `invalid-feed`, `empty-batch`, `label-out-of-range`, AdakitError `non-finite`; nothing has
   * changed then, running statistics included
   */
  async step(batch: Batch, options: BatchOptions = {}): Promise<StepResult> {
    const feeds = toFeeds(this.inputs, batch);
    const counted = sampleCount(this.#modelInputs, feeds);
    let outputs: StepResult['outputs'] | undefined;
    const samples = options.samples ?? counted;
    const beside = {
      statistics: this.#statistics,
      random: this.#random,
      samples,
      // Where the gradient is taken twice, a second time elsewhere, the first ones are meant.
      give: (given: StepResult['outputs']) => (outputs ??= given),
    };
    const source = this.#steps.source(feeds, beside, { signal: options.signal });
    const report = await this.#run.stepWith(
      {
        evaluate: async (context) => {
          const { accept, ...evaluated } = await source.evaluate(context);
          return {
            ...evaluated,
            accept: () => {
              this.#version++;
              accept?.();
            },
          };
        },
        ...(source.estimate && { estimate: source.estimate }),
      },
      { samples },
    );
    // A model's loss is always known.
    return { ...report, loss: report.loss ?? NaN, outputs: outputs ?? {} };
  }

  /**
   * A step on each batch, {@link stepsPerRun} of them in one run of the runtime. Those that are left over, and those whose
   * batches are not of one shape, are taken one by one.
   *
   * @returns what each step reports, in the order of the batches
   * @throws as {@link step}. The steps of one run are all taken or none: for one that is not finite nothing of them has
   * changed, or, where such steps are skipped, they are taken again one by one. Those before stay; `onStep` has been told of
   * them
   */
  async steps(batches: readonly Batch[], { onStep, ...options }: StepsOptions = {}): Promise<readonly StepResult[]> {
    const list: unknown = batches;
    if (!Array.isArray(list)) {
      throw new TrainingError('invalid-feed', 'steps takes a list of batches; step takes one');
    }
    const feeds = batches.map((batch) => this.#checkedFeeds(batch));
    const results: StepResult[] = [];
    const take = (result: StepResult): void => {
      results.push(result);
      onStep?.(result);
    };
    while (results.length < batches.length) {
      const start = results.length;
      const next = feeds.slice(start, start + this.stepsPerRun);
      const taken = next.length > 1 && next.length === this.stepsPerRun && areOfOneShape(next);
      const together = taken ? await this.#takeTogether(next, options) : undefined;
      if (together !== undefined) together.forEach(take);
      else for (const batch of batches.slice(start, start + next.length)) take(await this.step(batch, options));
    }
    return results;
  }

  /** Loss and outputs of a batch in inference mode; nothing is updated. */
  evaluate(batch: Batch, { weights, signal }: WeightsOptions = {}): Promise<Evaluation> {
    return this.#run.exclusively((run) => this.#inference.evaluate(batch, this.#inUse(run, weights), { signal }));
  }

  /** The model's outputs for inputs without targets, in inference mode. */
  predict(inputs: Batch, { weights, signal }: WeightsOptions = {}): Promise<Readonly<Record<string, Tensor>>> {
    return this.#run.exclusively((run) => this.#inference.predict(inputs, this.#inUse(run, weights), { signal }));
  }

  /**
   * Values of the parameters being trained, as a copy.
   *
   * @param view one of {@link views}. Default: what is evaluated, predicted with and exported, `averaged` where weights are
   * @throws AdakitError `unknown-view`
   */
  weights(view?: string): Promise<NamedTensors> {
    return this.#run.weights(view);
  }

  /** A copy of everything needed to go on: parameters, slots, step, running statistics, hyperparameters and the seed. */
  state(options: StateOptions = {}): Promise<TrainingState> {
    return this.#run.exclusively(async (run) => this.#complete(await run.state(), this.#statistics.copies(), options));
  }

  /**
   * Goes on from a state or from a state file, with its seed. What it says of the data is the caller's to read:
   * `readState` of `@adakit/state/node` gives the state of a file.
   *
   * @throws AdakitError when the state does not fit, StateFileError when the file is damaged; the session is unchanged
   */
  load(state: TrainingState | string): Promise<void> {
    return this.#run.exclusively(async (run) => {
      const found = typeof state === 'string' ? await readState(state) : state;
      requireState(found);
      const statistics = this.#statistics.parse(found);
      await run.load(found);
      this.#statistics.load(statistics, found);
      this.#random.load(found);
      this.#version++;
    });
  }

  /** Writes the state to a file, complete or not at all; {@link load} goes on from it, here or on another backend. */
  save(path: string, options: StateOptions = {}): Promise<void> {
    return this.#run.exclusively(async (run) =>
      // Nothing changes before it is written, so nothing has to be copied.
      writeState(path, this.#complete(await run.state(hostView), this.#statistics.stored, options)),
    );
  }

  /**
   * The original model with the trained weights: an inference model again, also where the original was exported for
   * training.
   *
   * @param path also writes it there. A model that has to keep its weights in a file of their own gets one beside it,
   * `<name>.<digits>.data`, where the digits stand for the contents: at any moment, also after a crash, there is the old
   * model with its weights or the new one with its own. Weights that the model does not refer to any more are removed
   * @returns the bytes of the model file
   * @throws OnnxError `invalid-argument` for weights beyond the half precision of the original; TrainingError `needs-path` for a model with external data and no path; StateFileError `cannot-write` with
   * what to do about it, or `other-writer` when another process exports to the same path
   */
  exportModel(path?: string, { externalData, precision, weights }: ExportOptions = {}): Promise<Uint8Array> {
    return this.#run.exclusively(async (run) => {
      if (!['file', 'float32', undefined].includes(precision)) {
        throw new TrainingError(
          'invalid-option',
          `precision is one of file, float32, got ${JSON.stringify(precision)}`,
        );
      }
      const wide = withParameters(this.#model, await this.#inUse(run, weights).read());
      const trained = inferenceForm(precision === 'float32' ? wide : asWritten(wide));
      if (!(externalData ?? weightBytes(trained) > MOST_INSIDE)) {
        const bytes = writeModel(trained);
        return path === undefined ? bytes : writeWithData(path, [], () => bytes);
      }
      if (path === undefined) {
        throw new TrainingError(
          'needs-path',
          'a model with its weights in a file of their own, which it must be from 2 GiB on, is two files; ' +
            'give exportModel the path of the .onnx file',
        );
      }
      const { data } = externalize(trained, '');
      return writeWithData(path, data, (location) => writeModel(externalize(trained, location).model));
    });
  }

  /**
   * Frees the runtime's sessions, after the calls made before; later ones are refused (`disposed`). Disposing twice is
   * harmless. A worker must have waited for it before it is terminated: onnxruntime-node ends the process when its thread
   * goes while it computes.
   */
  dispose(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** @throws TrainingError as {@link step} */
  #checkedFeeds(batch: Batch): Feeds {
    const feeds = toFeeds(this.inputs, batch);
    sampleCount(this.#modelInputs, feeds);
    return feeds;
  }

  /** The steps of one run, or undefined where one of them has to be skipped. */
  async #takeTogether(batches: readonly Feeds[], options: AbortOptions): Promise<readonly StepResult[] | undefined> {
    const outputs: StepResult['outputs'][] = [];
    const source = this.#steps.several?.(
      batches.map((batch, at) => ({
        batch,
        beside: {
          statistics: this.#statistics,
          random: this.#random,
          samples: sampleCount(this.#modelInputs, batch),
          give: (given) => (outputs[at] = given),
        },
      })),
      options,
    );
    if (source === undefined) return undefined;
    const reports = await this.#run.severalWith(
      {
        evaluate: async (steps) => {
          const { accept, ...evaluated } = await source.evaluate(steps);
          return {
            ...evaluated,
            accept: () => {
              this.#version++;
              accept?.();
            },
          };
        },
      },
      batches.length,
    );
    return reports?.map((report, at) => ({ ...report, loss: report.loss ?? NaN, outputs: outputs[at] }));
  }

  async #release(): Promise<void> {
    await this.#run.dispose();
    this.#threads?.end();
    await this.#steps.release();
    await this.#inference.release();
  }

  #complete(
    state: TrainingState,
    statistics: NonNullable<TrainingState['statistics']>,
    { data }: StateOptions,
  ): TrainingState {
    return {
      ...state,
      ...(Object.keys(statistics).length > 0 && { statistics }),
      ...(this.#draws && { random: { seed: this.#random.seed } }),
      ...(data && { data }),
      origin: `onnxruntime-node/${this.executionProvider}`,
    };
  }

  /** Weights of a view and running statistics. Those being trained are not copied. */
  #inUse(run: Exclusive<StateBuffer>, view = this.#run.defaultView): WeightsInUse {
    return {
      version: `${view} ${this.#version}`,
      read: async () => ({
        ...(view === 'trained' ? trainedWeights(this.#run) : await run.weights(view)),
        ...this.#statistics.values,
      }),
    };
  }
}

/** The model with the weights of a moment. Made apart: a function made where the file's bytes are known would keep them. */
function currentModel(base: Model, run: Run<StateBuffer>, statistics: Statistics): () => Model {
  return () => withParameters(base, { ...trainedWeights(run), ...statistics.values });
}

/** For callers without types: a choice that is misspelt would be the other one without a word. */
function requireChoices(options: TrainingSessionOptions): void {
  const { model } = Object(options) as { readonly model?: unknown };
  if (
    typeof model !== 'string' &&
    (Object(model) !== model || !(model instanceof Uint8Array || 'graph' in (model as Model)))
  ) {
    throw new TrainingError(
      'invalid-option',
      `model is a path, a Uint8Array or what readModel() gives, got ${kindOf(model)}`,
    );
  }
  for (const name of ['executionProviders', 'outputs'] as const) {
    const given: unknown = options[name];
    if (given === undefined || Array.isArray(given)) continue;
    throw new TrainingError('invalid-option', `${name} is a list, such as ['cpu'], got ${JSON.stringify(given)}`);
  }
  for (const [name, known] of CHOICES) {
    const given = options[name];
    if (given === undefined || known.includes(given)) continue;
    throw new TrainingError('invalid-option', `${name} is one of ${known.join(', ')}, got ${JSON.stringify(given)}`);
  }
}

const CHOICES: readonly (readonly [name: 'update' | 'nonFinite' | 'runtime', known: readonly string[]])[] = [
  ['update', ['auto', 'fused', 'graph']],
  ['nonFinite', ['refuse', 'skip', 'scaleBack']],
  ['runtime', ['auto', 'native', 'node']],
];

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

/** Gradients of the size that they have in float32 would vanish below the range of float16. */
function scaledFor(precision: ComputePrecision, optimizer: Optimizer, parameters: readonly ParameterSpec[]): Optimizer {
  if (precision !== 'float16' || makePlan(optimizer, parameters).lossScale !== undefined) return optimizer;
  return lossScaling(optimizer);
}

/** What may have to be copied to a device beside the state. */
function elementTypes(specs: readonly TensorSpec[]): ElementType[] {
  return ['float32', 'float64', 'bool', ...specs.flatMap(({ dtype }) => (isElementType(dtype) ? [dtype] : []))];
}

/** The weights being trained, not copied: valid until the run does something. */
function trainedWeights(run: Run<StateBuffer>): NamedTensors {
  const { parameters } = run.buffers;
  return Object.fromEntries(
    run.parameters.map(({ name, shape }): [string, TensorData] => {
      const data = hostView(parameters[name]);
      return [
        name,
        data instanceof Float32Array ? { dtype: 'float32', shape, data } : { dtype: 'float64', shape, data },
      ];
    }),
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
  if (!Number.isSafeInteger(count) || count < 1) {
    refuse(`stepsPerRun must be a whole number of at least 1, got ${count}`);
  }
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

function isCpu({ name }: ProviderChoice): boolean {
  return name === 'cpu';
}

function areOfOneShape([first, ...others]: readonly Feeds[]): boolean {
  return others.every((feeds) => Object.entries(feeds).every(([name, { dims }]) => sameShape(dims, first[name].dims)));
}

/** What is computed again waits for a number that the host reads, which a recording cannot hold. */
function requireNotRecorded(providers: readonly ProviderChoice[]): void {
  if (!providers.some((provider) => provider.options['enableCudaGraph'] === true)) return;
  throw new TrainingError(
    'invalid-option',
    'memoryLimit and enableCudaGraph exclude each other: leave one of them out',
  );
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

/** A seed that does not decide on everything would promise too much. */
function requireSeedable(inside: readonly string[]): void {
  if (inside.length === 0) return;
  throw new TrainingError(
    'invalid-option',
    `a seed cannot decide what the model draws at ${inside.join(', ')}: in the body of a loop, or of a shape that only a ` +
      'run tells; leave seed out, and the runtime draws there',
  );
}

/** A protobuf message ends at 2 GiB; the rest of the model needs some of it. */
const MOST_INSIDE = 2 ** 31 - 2 ** 27;

function weightBytes({ graph }: Model): number {
  return graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
}
