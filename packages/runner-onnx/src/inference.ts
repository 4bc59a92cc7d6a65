import type { NamedTensors } from '@adakit/core';
import {
  evaluationGraph,
  inferenceGraph,
  withConstants,
  type EmittedGraph,
  type EvaluationGraph,
  type Loss,
  type Model,
  type Target,
  type TargetSpec,
  type TensorSpec,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { Session, type ChosenProvider } from './execution-provider.js';
import { sampleCount, toFeeds, type Batch } from './feeds.js';
import { numberOf } from './ort-tensor.js';
import type { CallOptions, SessionOptions } from './runtime/runtime.js';

/** Loss and outputs of a model in inference mode. */
export interface Evaluation {
  readonly loss: number;
  /** The model's outputs by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** The weights to compute with. */
export interface WeightsInUse {
  /** Tells them from others: the same text means the same values. */
  readonly version: string;
  /** Asked for only when they are new. */
  read(): Promise<NamedTensors>;
}

/** How sessions are made. */
interface InferenceOptions {
  readonly provider: ChosenProvider;
  readonly session: SessionOptions;
  readonly target: Target;
}

/**
 * A model in inference mode. Its weights are constants of the runtime's session, which is made anew for other weights: the
 * runtime folds and rearranges constants, and a run is then as fast as one of the exported model. The price is a copy of
 * the weights and the start of a session at the first call after they have changed.
 */
export class Inference {
  readonly #model: () => Model;
  readonly #loss: Loss;
  readonly #weights: readonly string[];
  readonly #options: InferenceOptions;
  #evaluation: Folded<EvaluationGraph> | undefined;
  #prediction: Folded<EmittedGraph> | undefined;

  /**
   * @param model asked for when a graph of it is needed
   * @param weights names of the initializers that have values of their own
   */
  constructor(model: () => Model, loss: Loss, weights: readonly string[], options: InferenceOptions) {
    this.#model = model;
    this.#loss = loss;
    this.#weights = weights;
    this.#options = options;
  }

  /** Loss and outputs for inputs and targets. */
  async evaluate(batch: Batch, weights: WeightsInUse, options?: CallOptions): Promise<Evaluation> {
    this.#evaluation ??= new Folded(
      evaluationGraph(this.#model(), { loss: this.#loss, parameters: this.#weights, target: this.#options.target }),
      this.#options,
    );
    const { graph } = this.#evaluation;
    const specs: readonly (TensorSpec | TargetSpec)[] = [...graph.inputs, ...graph.targets];
    const feeds = toFeeds(specs, batch);
    // The mean of nothing is no loss.
    sampleCount(graph.inputs, feeds);
    const { [graph.loss]: loss, ...outputs } = await this.#evaluation.run(feeds, weights, options);
    return { loss: numberOf(loss), outputs };
  }

  /** Outputs for inputs. */
  predict(inputs: Batch, weights: WeightsInUse, options?: CallOptions): Promise<Readonly<Record<string, Tensor>>> {
    this.#prediction ??= new Folded(
      inferenceGraph(this.#model(), this.#weights, { target: this.#options.target }),
      this.#options,
    );
    return this.#prediction.run(toFeeds(this.#prediction.graph.inputs, inputs), weights, options);
  }

  async release(): Promise<void> {
    await this.#evaluation?.release();
    await this.#prediction?.release();
  }
}

/**
 * Leaves out what makes a sum and the LayerNormalization after it one kernel: on the CPU that takes three times as long as the
 * two (2.5 against 0.85 ms for 1,024 rows of 384 in ONNX Runtime 1.30). The shapes of inner values that our models have, and most exported
 * ones lack, make it possible.
 */
function withoutSlowKernels({ extra, ...options }: SessionOptions): SessionOptions {
  const { optimization, ...others } = (extra ?? {}) as Readonly<Record<string, object>>;
  const settings = { disable_specified_optimizers: 'SkipLayerNormFusion', ...optimization };
  return { ...options, extra: { ...others, optimization: settings } };
}

/** A graph with weights folded in. */
class Folded<G extends EmittedGraph> {
  readonly graph: G;
  readonly #options: InferenceOptions;
  #current: { readonly version: string; readonly session: Session } | undefined;

  constructor(graph: G, options: InferenceOptions) {
    this.graph = graph;
    this.#options = options;
  }

  async run(feeds: Readonly<Record<string, Tensor>>, weights: WeightsInUse, options?: CallOptions) {
    if (this.#current?.version !== weights.version || this.#current.session.isStale) {
      await this.release();
      const { provider, session } = this.#options;
      const model = withConstants(this.graph.model, this.graph.parameters, await weights.read());
      const options = provider.name === 'cpu' ? withoutSlowKernels(session) : session;
      this.#current = {
        version: weights.version,
        session: await Session.create(model, provider, { graphOptimizationLevel: 'all', ...options }),
      };
    }
    return this.#current.session.run(feeds, undefined, options);
  }

  async release(): Promise<void> {
    const session = this.#current?.session;
    this.#current = undefined;
    await session?.release();
  }
}
