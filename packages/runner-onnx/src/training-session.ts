import {
  hostView,
  kinds,
  sameShape,
  type ChangeScope,
  type Exclusive,
  type HyperparameterValues,
  type JsonObject,
  type NamedTensors,
  type Optimizer,
  type OptionKind,
  type ParameterSpec,
  type Run,
  type Stateful,
  type StepReport,
  type TrainingState,
} from '@adakit/core';
import { requireState } from '@adakit/core/states';
import { readState, writeState, writeWithData } from '@adakit/state/node';
import {
  asWritten,
  externalize,
  inferenceForm,
  withParameters,
  writeModel,
  type Model,
  type TargetSpec,
  type TensorSpec,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import { sampleCount, toFeeds, type Batch } from './feeds.js';
import { requireOptions } from './given.js';
import { trainedWeights, type StateBuffer } from './host.js';
import type { Evaluation, Inference, WeightsInUse } from './inference.js';
import type { ExecutionProviderName } from './provider-options.js';
import type { RandomNumbers } from './random-numbers.js';
import { reportRuntime, type RuntimeReport } from './runtime/report.js';
import { startSession, type SessionParts } from './start-session.js';
import type { Statistics } from './statistics.js';
import type { Feeds, Steps } from './steps.js';
import type { WorkerThreads } from './threads/worker-threads.js';
import type { TrainingSessionOptions } from './training-options.js';

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

const ABORT: Readonly<Record<keyof AbortOptions, OptionKind>> = { signal: kinds.signal };
const BATCH: Readonly<Record<keyof BatchOptions, OptionKind>> = { ...ABORT, samples: kinds.within({ above: 0 }) };
const STEPS: Readonly<Record<keyof StepsOptions, OptionKind>> = { ...ABORT, onStep: kinds.callable };
const WEIGHTS: Readonly<Record<keyof WeightsOptions, OptionKind>> = { ...ABORT, weights: kinds.text };
const STATE: Readonly<Record<keyof StateOptions, OptionKind>> = { data: kinds.object };

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
  /**
   * Names of tensors that are not trained, by their places in the network or their numbers, though they may be parameters:
   * `train: { also: session.leftOut }` trains them. Empty where `train` says what is trained.
   */
  readonly leftOut: readonly string[];
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

  private constructor(parts: SessionParts) {
    this.inputs = [...parts.inputs, ...parts.targets];
    this.leftOut = parts.leftOut;
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
    return new TrainingSession(await startSession(options));
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
    requireOptions('step', options, BATCH);
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
        evaluate: async (context) => this.#counted(await source.evaluate(context)),
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
  async steps(batches: readonly Batch[], given: StepsOptions = {}): Promise<readonly StepResult[]> {
    requireOptions('steps', given, STEPS);
    const { onStep, ...options } = given;
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
  async evaluate(batch: Batch, options: WeightsOptions = {}): Promise<Evaluation> {
    requireOptions('evaluate', options, WEIGHTS);
    const { weights, signal } = options;
    return this.#run.exclusively((run) => this.#inference.evaluate(batch, this.#inUse(run, weights), { signal }));
  }

  /** The model's outputs for inputs without targets, in inference mode. */
  async predict(inputs: Batch, options: WeightsOptions = {}): Promise<Readonly<Record<string, Tensor>>> {
    requireOptions('predict', options, WEIGHTS);
    const { weights, signal } = options;
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
  async state(options: StateOptions = {}): Promise<TrainingState> {
    requireOptions('state', options, STATE);
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
  async save(path: string, options: StateOptions = {}): Promise<void> {
    requireOptions('save', options, STATE);
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
  async exportModel(path?: string, options: ExportOptions = {}): Promise<Uint8Array> {
    requireOptions('exportModel', options, {
      externalData: kinds.flag,
      precision: kinds.oneOf('file', 'float32'),
      weights: kinds.text,
    } satisfies Record<keyof ExportOptions, OptionKind>);
    const { externalData, precision, weights } = options;
    return this.#run.exclusively(async (run) => {
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
   * harmless. A session that nobody can use any more is freed without it, but nobody knows when: what it holds is not
   * JavaScript's memory, which is what garbage is collected for. A worker must have waited for it before it is terminated: onnxruntime-node ends the process when its thread
   * goes while it computes.
   */
  dispose(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** As {@link dispose}, for `await using session = await TrainingSession.create(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
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
      { evaluate: async (steps) => this.#counted(await source.evaluate(steps)) },
      batches.length,
    );
    return reports?.map((report, at) => ({ ...report, loss: report.loss ?? NaN, outputs: outputs[at] }));
  }

  /** What was evaluated, with the change of the weights counted once it is accepted. */
  #counted<T extends { readonly accept?: () => void }>(evaluated: T): T {
    return {
      ...evaluated,
      accept: () => {
        this.#version++;
        evaluated.accept?.();
      },
    };
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

function areOfOneShape([first, ...others]: readonly Feeds[]): boolean {
  return others.every((feeds) => Object.entries(feeds).every(([name, { dims }]) => sameShape(dims, first[name].dims)));
}

/** A protobuf message ends at 2 GiB; the rest of the model needs some of it. */
const MOST_INSIDE = 2 ** 31 - 2 ** 27;

function weightBytes({ graph }: Model): number {
  return graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
}
