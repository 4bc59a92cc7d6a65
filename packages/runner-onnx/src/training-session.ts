import { basename } from 'node:path';
import {
  copyTensor,
  type NamedTensors,
  type Optimizer,
  type Stateful,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { readState, writeFileAtomically, writeState } from '@adakit/core/node';
import {
  evaluationGraph,
  externalize,
  inferenceGraph,
  initialParameters,
  readModel,
  withParameters,
  writeModel,
  type EvaluationGraph,
  type Loss,
  type Model,
  type TargetSpec,
  type TensorSpec,
  type TrainableOptions,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import { Session, type ExecutionProvider, type SessionOptions } from './execution-provider.js';
import { toFeeds, type Batch } from './feeds.js';
import { ParameterStore, weightFeeds } from './parameter-store.js';
import { fusedStepper, graphStepper, type Stepper } from './stepper.js';

export interface TrainingSessionOptions extends TrainableOptions {
  /** An ONNX inference model: its path, its bytes, or one that has been read (and edited: a new head, adapters). */
  readonly model: string | Uint8Array | Model;
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /** Tried in order; the first that works runs everything. Default: `['cpu']`. */
  readonly executionProviders?: readonly ExecutionProvider[];
  /**
   * Where the update is computed: `fused` in one loop on the host, `graph` inside ONNX Runtime. `auto`, the default,
   * is `fused` on the CPU and `graph` elsewhere.
   */
  readonly update?: 'auto' | 'fused' | 'graph';
  /** Passed on to ONNX Runtime, e.g. `{ intraOpNumThreads: 2 }`. */
  readonly session?: SessionOptions;
}

export interface ExportOptions {
  /** Whether to keep the weights in a file of their own. By default where a protobuf message cannot hold them. */
  readonly externalData?: boolean;
}

/** What a step reports. */
export interface StepResult {
  /** The loss of the batch before the update. */
  readonly loss: number;
  /** Steps taken so far, this one included. */
  readonly step: number;
}

export interface Evaluation {
  readonly loss: number;
  /** The model's outputs by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/**
 * Trains an ONNX model on stock ONNX Runtime. Calls are carried out one after the other, in the order made.
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
  readonly #model: Model;
  readonly #loss: Loss;
  readonly #options: TrainingSessionOptions;
  readonly #stepper: Stepper;
  readonly #store: ParameterStore;
  #evaluation: { session: Session; graph: EvaluationGraph } | undefined;
  #prediction: { session: Session; inputs: readonly TensorSpec[] } | undefined;
  #disposed = false;
  /** The end of the queue of calls. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(model: Model, options: TrainingSessionOptions, stepper: Stepper, store: ParameterStore) {
    this.#model = model;
    this.#loss = options.loss;
    this.#options = options;
    this.#stepper = stepper;
    this.#store = store;
  }

  /**
   * Reads the model, derives its training graph and starts the runtime.
   *
   * @throws OnnxError for a model that cannot be read or trained, with all reasons; TrainingError
   * `no-execution-provider`
   */
  static async create(options: TrainingSessionOptions): Promise<TrainingSession> {
    const { model: source } = options;
    const model = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
    const { executionProviders: providers = ['cpu'], update = 'auto', session = {}, optimizer } = options;
    const stepperOptions = { ...options, providers, session };
    const fused = update === 'fused' || (update === 'auto' && providers[0] === 'cpu');
    const stepper = fused
      ? await fusedStepper(model, stepperOptions)
      : await graphStepper(model, stepperOptions, optimizer);
    const [parameters, statistics] = [stepper.parameters, stepper.statistics].map((specs) => {
      const values = initialParameters(model, specs);
      // Bytes and models are the caller's. A file read here is the session's own and need not be kept beside the parameters.
      return typeof source === 'string' ? takenOver(values, model) : copies(values);
    });
    const store = new ParameterStore(optimizer, parameters, statistics);
    return new TrainingSession(model, options, stepper, store);
  }

  /** The execution provider in use. */
  get executionProvider(): ExecutionProvider {
    return this.#stepper.provider;
  }

  /** Inputs and targets that {@link step} takes. */
  get inputs(): readonly (TensorSpec | TargetSpec)[] {
    return [...this.#stepper.inputs, ...this.#stepper.targets];
  }

  /** Names of the parameters being trained. */
  get parameters(): readonly string[] {
    return this.#stepper.parameters.map(({ name }) => name);
  }

  /** The optimizer with its current hyperparameters. */
  get optimizer(): Optimizer {
    return this.#store.optimizer;
  }

  /** Steps taken so far. */
  get stepCount(): number {
    return this.#store.step;
  }

  /**
   * Changes hyperparameters from the next step on.
   *
   * @throws AdakitError for an unknown name or a value out of range
   */
  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void {
    this.#store.optimizer = this.#store.optimizer.with(changes);
    this.#store.ensureSlots();
  }

  /**
   * One training step.
   *
   * @throws TrainingError `invalid-feed`, `label-out-of-range`, `non-finite-loss`; nothing has been updated then
   */
  step(batch: Batch): Promise<StepResult> {
    return this.#exclusively(async () => {
      const store = this.#store;
      const loss = await this.#stepper.step(store, toFeeds(this.inputs, batch), (value) => {
        if (Number.isFinite(value)) return;
        throw new TrainingError(
          'non-finite-loss',
          `the loss is ${value} at step ${store.step + 1}; the parameters are as they were before it. ` +
            'Look for non-finite inputs, lower the learning rate, or go back to an earlier state',
        );
      });
      store.step++;
      return { loss, step: store.step };
    });
  }

  /** Loss and outputs of a batch in inference mode; nothing is updated. */
  evaluate(batch: Batch): Promise<Evaluation> {
    return this.#exclusively(async () => {
      if (this.#evaluation === undefined) {
        const graph = evaluationGraph(this.#model, { loss: this.#loss, parameters: this.#weightNames() });
        this.#evaluation = { graph, session: await this.#createSession(graph.model) };
      }
      const { graph, session } = this.#evaluation;
      const results = await session.run({
        ...toFeeds([...graph.inputs, ...graph.targets], batch),
        ...weightFeeds(this.#store),
      });
      const { [graph.loss]: loss, ...outputs } = results;
      return { loss: (loss.data as Float32Array)[0], outputs };
    });
  }

  /** The model's outputs for inputs without targets, in inference mode. */
  predict(inputs: Batch): Promise<Readonly<Record<string, Tensor>>> {
    return this.#exclusively(async () => {
      if (this.#prediction === undefined) {
        const graph = inferenceGraph(this.#model, this.#weightNames());
        this.#prediction = { inputs: graph.inputs, session: await this.#createSession(graph.model) };
      }
      return this.#prediction.session.run({ ...toFeeds(this.#prediction.inputs, inputs), ...weightFeeds(this.#store) });
    });
  }

  /** A copy of parameters, slots, step and hyperparameters. */
  state(): Promise<TrainingState> {
    return this.#exclusively(() => Promise.resolve(this.#store.state(this.#origin)));
  }

  /**
   * Goes on from a state or from a state file.
   *
   * @throws AdakitError when the state does not fit, StateFileError when the file is damaged; the session is unchanged
   */
  load(state: TrainingState | string): Promise<void> {
    return this.#exclusively(async () => {
      this.#store.load(typeof state === 'string' ? await readState(state) : state);
    });
  }

  /** Writes the state to a file, complete or not at all; {@link load} goes on from it, here or on another backend. */
  save(path: string): Promise<void> {
    return this.#exclusively(() => writeState(path, this.#store.view(this.#origin)));
  }

  /**
   * The original model with the trained weights: an inference model again.
   *
   * @param path also writes it there, complete or not at all; a model that has to keep its weights in a file of their
   * own gets one of this name with `.data` behind
   * @returns the bytes of the model file
   * @throws TrainingError `needs-path` for a model with external data and no path
   */
  exportModel(path?: string, { externalData }: ExportOptions = {}): Promise<Uint8Array> {
    return this.#exclusively(async () => {
      const trained = withParameters(this.#model, this.#store.weights);
      if (!(externalData ?? weightBytes(trained) > MOST_INSIDE)) {
        const bytes = writeModel(trained);
        if (path !== undefined) await writeFileAtomically(path, bytes);
        return bytes;
      }
      if (path === undefined) {
        throw new TrainingError(
          'needs-path',
          'a model with its weights in a file of their own, which it must be from 2 GiB on, is two files; ' +
            'give exportModel the path of the .onnx file',
        );
      }
      const { model, data } = externalize(trained, `${basename(path)}.data`);
      const bytes = writeModel(model);
      await writeFileAtomically(`${path}.data`, data);
      await writeFileAtomically(path, bytes);
      return bytes;
    });
  }

  /** Frees the runtime's sessions, after the calls made before. Disposing twice is harmless. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#last.catch(() => undefined);
    await this.#stepper.release();
    await this.#evaluation?.session.release();
    await this.#prediction?.session.release();
  }

  get #origin(): string {
    return `onnxruntime-node/${this.executionProvider}`;
  }

  #createSession(model: EvaluationGraph['model']): Promise<Session> {
    return Session.create(model, this.executionProvider, this.#options.session);
  }

  /** Initializers of the model that have become inputs. */
  #weightNames(): readonly string[] {
    return Object.keys(this.#store.weights);
  }

  /** Runs `task` after all earlier ones: the runtime must not see a session from two calls, or after its release. */
  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    if (this.#disposed) {
      return Promise.reject(new TrainingError('disposed', 'the training session has been disposed; create a new one'));
    }
    const result = this.#last.then(task, task);
    this.#last = result;
    return result;
  }
}

/** A protobuf message ends at 2 GiB; the rest of the model needs some of it. */
const MOST_INSIDE = 2 ** 31 - 2 ** 27;

function weightBytes({ graph }: Model): number {
  return graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
}

function copies(values: NamedTensors): NamedTensors {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, copyTensor(value)]));
}

/** Values that stay in the memory of the model, but for those that share it with another initializer. */
function takenOver(values: NamedTensors, { graph }: Model): NamedTensors {
  const seen = new Map<ArrayBufferLike, Map<number, number>>();
  for (const { rawData } of graph.initializer) {
    const counts = seen.get(rawData.buffer) ?? new Map<number, number>();
    seen.set(rawData.buffer, counts.set(rawData.byteOffset, (counts.get(rawData.byteOffset) ?? 0) + 1));
  }
  const isShared = ({ data }: TensorData) => (seen.get(data.buffer)?.get(data.byteOffset) ?? 0) > 1;
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, isShared(value) ? copyTensor(value) : value]),
  );
}
