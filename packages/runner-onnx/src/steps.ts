import { hostView, type Evaluated, type GradientContext, type GradientSource } from '@adakit/core';
import type { GradientsGraph } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { Session, type ChosenProvider } from './execution-provider.js';
import type { StateBuffer } from './host.js';
import type { DeviceMemory } from './native/device-memory.js';
import { elements, numberOf, ortTensor } from './ort-tensor.js';
import type { CallOptions, SessionOptions } from './runtime/runtime.js';
import type { Statistics } from './statistics.js';

/** The runtime's tensors by name. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** One way of computing training steps of a model. */
export interface Steps {
  readonly provider: ChosenProvider;
  /** Where parameters and optimizer state are between steps; undefined for the host's memory. */
  readonly memory?: DeviceMemory | undefined;
  /** The step on a batch. */
  source(batch: Feeds, statistics: Statistics, options: CallOptions): GradientSource<StateBuffer>;
  release(): Promise<void>;
}

/** How the runtime's sessions are made. */
export interface RuntimeOptions {
  readonly provider: ChosenProvider;
  readonly session: SessionOptions;
}

/** What a graph in training mode takes beside the batch and the parameters. */
export function trainingFeeds(
  { lossScale: scale }: Pick<GradientsGraph, 'lossScale'>,
  statistics: Statistics,
  { lossScale }: Pick<GradientContext<StateBuffer>, 'lossScale'>,
): Record<string, Tensor> {
  const feeds = statistics.feeds();
  if (scale !== undefined) {
    feeds[scale.name] = ortTensor(
      scale.dtype === 'float64' ? Float64Array.of(lossScale) : Float32Array.of(lossScale),
      scale.shape.map(Number),
    );
  }
  return feeds;
}

/**
 * Loss and gradients in ONNX Runtime, everything else on the run's device: the fastest on the CPU, where elementwise graphs
 * are bound by the memory traffic of their intermediate results.
 */
export class GradientSteps implements Steps {
  readonly provider: ChosenProvider;
  readonly #graph: GradientsGraph;
  readonly #session: Session;

  private constructor(graph: GradientsGraph, session: Session, provider: ChosenProvider) {
    this.provider = provider;
    this.#graph = graph;
    this.#session = session;
  }

  /** @param graph written for the provider's target */
  static async create(graph: GradientsGraph, { provider, session }: RuntimeOptions): Promise<GradientSteps> {
    return new GradientSteps(graph, await Session.create(graph.model, provider, session), provider);
  }

  source(batch: Feeds, statistics: Statistics, options: CallOptions): GradientSource<StateBuffer> {
    return { evaluate: (context) => this.#evaluate(batch, statistics, context, options) };
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  async #evaluate(
    batch: Feeds,
    statistics: Statistics,
    context: GradientContext<StateBuffer>,
    options: CallOptions,
  ): Promise<Evaluated> {
    const { parameters, gradients: outputs, loss, statistics: moving } = this.#graph;
    const feeds: Record<string, Tensor> = { ...batch, ...trainingFeeds(this.#graph, statistics, context) };
    const fetches: Record<string, Tensor | null> = { [loss]: null };
    for (const { output } of moving) fetches[output] = null;
    for (const { name, shape } of parameters) {
      feeds[name] = ortTensor(hostView(context.parameters[name]), shape);
      fetches[outputs[name]] = ortTensor(hostView(context.gradients[name]), shape);
    }
    const results = await this.#session.run(feeds, fetches, options);
    // Some providers of onnxruntime-node do not write into tensors that they are given.
    for (const { name } of parameters) {
      const [gradient, result] = [hostView(context.gradients[name]), elements(results[outputs[name]])];
      if (result !== gradient) gradient.set(result);
    }
    return {
      loss: numberOf(results[loss]),
      accept: () => {
        statistics.adopt(results);
      },
    };
  }
}
