import {
  hostView,
  makePlan,
  Run,
  type ChangeScope,
  type Exclusive,
  type HostBuffer,
  type HyperparameterValues,
  type NamedTensors,
  type NonFinitePolicy,
  type Optimizer,
  type ParameterSpec,
  type Stateful,
  type StepReport,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { readState, writeState, writeWithData } from '@adakit/state/node';
import {
  asWritten,
  externalize,
  gradientsGraph,
  inferenceForm,
  initialParameters,
  readModel,
  withoutValues,
  withParameters,
  writeModel,
  type GradientsOptions,
  type Loss,
  type Model,
  type TargetSpec,
  type TensorSpec,
  type TrainableOptions,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import type { ExecutionProvider, SessionOptions } from './execution-provider.js';
import { sampleCount, toFeeds, type Batch } from './feeds.js';
import { hostDeviceFor } from './host.js';
import { Inference, type Evaluation, type WeightsInUse } from './inference.js';
import { Statistics } from './statistics.js';
import { GradientSteps, type Steps } from './steps.js';
import { WholeSteps } from './whole-steps.js';

/** What a {@link TrainingSession} trains, and how. */
export interface TrainingSessionOptions extends TrainableOptions {
  /** An ONNX inference model: its path, its bytes, or one that has been read (and edited: a new head, adapters). */
  readonly model: string | Uint8Array | Model;
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /** Tried in order; the first that works runs everything. Default: `['cpu']`. */
  readonly executionProviders?: readonly ExecutionProvider[];
  /**
   * Where the update is computed: `fused` in one loop on the host, `graph` inside ONNX Runtime. `auto`, the default,
   * is `fused` on the CPU and `graph` elsewhere. An optimizer that takes the gradient twice a step (`sam`) is always
   * `fused`.
   */
  readonly update?: 'auto' | 'fused' | 'graph';
  /** What to do with a step whose loss or gradients are not finite. Default: `refuse`, an error that names parameters. */
  readonly nonFinite?: NonFinitePolicy;
  /** Passed on to ONNX Runtime, e.g. `{ intraOpNumThreads: 2 }`. */
  readonly session?: SessionOptions;
}

/** Which of the weights that an optimizer keeps are meant. */
export interface WeightsOptions {
  /**
   * Which weights: those being `trained`, or what the optimizer keeps beside, e.g. `averaged`. Default: `averaged` where
   * the optimizer averages weights, `trained` elsewhere.
   */
  readonly weights?: string;
}

/** How a trained model is written. */
export interface ExportOptions extends WeightsOptions {
  /** Whether to keep the weights in a file of their own. By default where a protobuf message cannot hold them. */
  readonly externalData?: boolean;
  /**
   * Element types of weights, inputs and outputs: those of the original `file`, the default, or `float32` where that has
   * them in half precision (float16, bfloat16), which is what training has computed in.
   */
  readonly precision?: 'file' | 'float32';
}

/** What is known of a batch beside its tensors. */
export interface BatchOptions {
  /**
   * Samples in the batch, by which batches count whose gradients are collected. Default: the size of the first free
   * dimension of the inputs.
   */
  readonly samples?: number;
}

/** What a step reports. */
export interface StepResult extends StepReport {
  /** The loss of the batch before the update. */
  readonly loss: number;
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
  /** Without the values of weights, where it was read here. */
  readonly #model: Model;
  readonly #modelInputs: readonly TensorSpec[];
  readonly #run: Run<HostBuffer>;
  readonly #steps: Steps;
  readonly #statistics: Statistics;
  readonly #inference: Inference;
  /** Counts changes of the weights. */
  #version = 0;
  #released: Promise<void> | undefined;

  private constructor(parts: {
    readonly model: Model;
    readonly inputs: readonly TensorSpec[];
    readonly targets: readonly TargetSpec[];
    readonly run: Run<HostBuffer>;
    readonly steps: Steps;
    readonly statistics: Statistics;
    readonly inference: Inference;
  }) {
    this.inputs = [...parts.inputs, ...parts.targets];
    this.#model = parts.model;
    this.#modelInputs = parts.inputs;
    this.#run = parts.run;
    this.#steps = parts.steps;
    this.#statistics = parts.statistics;
    this.#inference = parts.inference;
  }

  /**
   * Reads the model, derives its training graph and starts the runtime.
   *
   * @throws OnnxError for a model that cannot be read or trained, with all reasons; AdakitError for an optimizer that
   * does not fit its parameters; TrainingError `no-execution-provider`
   */
  static async create(options: TrainingSessionOptions): Promise<TrainingSession> {
    const { model: source, loss, optimizer, train, freeze } = options;
    const { executionProviders: providers = ['cpu'], update = 'auto', session = {}, nonFinite } = options;
    const model = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
    const training: GradientsOptions = { loss, ...(train && { train }), ...(freeze && { freeze }) };
    const unscaled = gradientsGraph(model, training);
    const plan = makePlan(optimizer, unscaled.parameters);
    const scaling = { ...training, lossScale: plan.lossScale !== undefined };
    const graph = scaling.lossScale ? gradientsGraph(model, scaling) : unscaled;
    const { inputs, targets, parameters, selection } = graph;

    const values = initialParameters(model, parameters);
    const run = Run.start(
      hostDeviceFor(plan, parameters[0].dtype),
      optimizer,
      Object.fromEntries(parameters.map(({ name, role }) => [name, { value: values[name], ...(role && { role }) }])),
      { ...(nonFinite && { nonFinite }) },
    );
    const statistics = new Statistics(graph.statistics, initialParameters(model, graph.statistics));
    const weights = [...parameters, ...graph.statistics].map(({ name }) => name);
    // Bytes and models are the caller's. What was read here need not be kept beside the weights of the run.
    const base = typeof source === 'string' ? withoutValues(model, weights) : model;
    const current = (): Model => withParameters(base, { ...trainedWeights(run), ...statistics.values });

    const fused = update === 'fused' || (update === 'auto' && providers[0] === 'cpu');
    const runtime = { providers, session };
    const steps = fused
      ? await GradientSteps.create(graph, runtime)
      : await WholeSteps.create(current, { ...scaling, selection }, graph, plan, runtime);
    const inference = new Inference(current, loss, weights, { provider: steps.provider, session });
    return new TrainingSession({ model: base, inputs, targets, run, steps, statistics, inference });
  }

  /** The execution provider in use. */
  get executionProvider(): ExecutionProvider {
    return this.#steps.provider;
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
    const source = this.#steps.source(feeds, this.#statistics);
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
      },
      { samples: options.samples ?? counted },
    );
    // A model's loss is always known.
    return { ...report, loss: report.loss ?? NaN };
  }

  /** Loss and outputs of a batch in inference mode; nothing is updated. */
  evaluate(batch: Batch, { weights }: WeightsOptions = {}): Promise<Evaluation> {
    return this.#run.exclusively((run) => this.#inference.evaluate(batch, this.#inUse(run, weights)));
  }

  /** The model's outputs for inputs without targets, in inference mode. */
  predict(inputs: Batch, { weights }: WeightsOptions = {}): Promise<Readonly<Record<string, Tensor>>> {
    return this.#run.exclusively((run) => this.#inference.predict(inputs, this.#inUse(run, weights)));
  }

  /** A copy of everything needed to go on: parameters, slots, step, running statistics and hyperparameters. */
  state(): Promise<TrainingState> {
    return this.#run.exclusively(async (run) => this.#complete(await run.state(), this.#statistics.copies()));
  }

  /**
   * Goes on from a state or from a state file.
   *
   * @throws AdakitError when the state does not fit, StateFileError when the file is damaged; the session is unchanged
   */
  load(state: TrainingState | string): Promise<void> {
    return this.#run.exclusively(async (run) => {
      const found = typeof state === 'string' ? await readState(state) : state;
      const statistics = this.#statistics.parse(found);
      run.load(found);
      this.#statistics.load(statistics);
      this.#version++;
    });
  }

  /** Writes the state to a file, complete or not at all; {@link load} goes on from it, here or on another backend. */
  save(path: string): Promise<void> {
    return this.#run.exclusively(async (run) =>
      // Nothing changes before it is written, so nothing has to be copied.
      writeState(path, this.#complete(await run.state(hostView), this.#statistics.values)),
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

  /** Frees the runtime's sessions, after the calls made before. Disposing twice is harmless. */
  dispose(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    await this.#run.dispose();
    await this.#steps.release();
    await this.#inference.release();
  }

  #complete(state: TrainingState, statistics: NamedTensors): TrainingState {
    return {
      ...state,
      ...(Object.keys(statistics).length > 0 && { statistics }),
      origin: `onnxruntime-node/${this.executionProvider}`,
    };
  }

  /** Weights of a view and running statistics. Those being trained are not copied. */
  #inUse(run: Exclusive<HostBuffer>, view = this.#run.defaultView): WeightsInUse {
    return {
      version: `${view} ${this.#version}`,
      read: async () => ({
        ...(view === 'trained' ? trainedWeights(this.#run) : await run.weights(view)),
        ...this.#statistics.values,
      }),
    };
  }
}

/** The weights being trained, not copied: valid until the run does something. */
function trainedWeights(run: Run<HostBuffer>): NamedTensors {
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

/** A protobuf message ends at 2 GiB; the rest of the model needs some of it. */
const MOST_INSIDE = 2 ** 31 - 2 ** 27;

function weightBytes({ graph }: Model): number {
  return graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
}
