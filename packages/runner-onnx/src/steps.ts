import {
  hostView,
  type Evaluated,
  type GradientContext,
  type GradientSource,
  type SeveralStepsSource,
} from '@adakit/core';
import type { GradientsGraph } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { Session, type ChosenProvider } from './execution-provider.js';
import type { StateBuffer } from './host.js';
import type { DeviceMemory } from './native/device-memory.js';
import { elements, numberOf, ortTensor } from './ort-tensor.js';
import type { RandomNumbers } from './random-numbers.js';
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
  source(batch: Feeds, beside: Beside, options: CallOptions): GradientSource<StateBuffer>;
  /** As many steps as one run makes, on batches of one shape, where it makes several. */
  several?(batches: readonly SeveralFeeds[], options: CallOptions): SeveralStepsSource<StateBuffer>;
  release(): Promise<void>;
}

/** What the model has in training beside parameters. */
export interface Beside {
  readonly statistics: Statistics;
  readonly random: RandomNumbers;
  readonly samples: number;
  /** Is given the model's outputs that were asked for, by the model's names. */
  readonly give: (outputs: Feeds) => void;
}

/** One of several batches, with what is beside it. */
export interface SeveralFeeds {
  readonly batch: Feeds;
  readonly beside: Beside;
}

/** How the runtime's sessions are made. */
export interface RuntimeOptions {
  readonly provider: ChosenProvider;
  readonly session: SessionOptions;
}

/** What a graph in training mode takes beside the parameters and statistics: the batch, random numbers, the loss scale. */
export function trainingFeeds(
  graph: Pick<GradientsGraph, 'lossScale' | 'random' | 'inputs' | 'targets'>,
  batch: Feeds,
  { random }: Pick<Beside, 'random'>,
  { lossScale, ...moment }: Pick<GradientContext<StateBuffer>, 'lossScale' | 'step' | 'batch'>,
): Record<string, Tensor> {
  const scales = graph.lossScale === undefined ? [] : [graph.lossScale];
  const scaleOf = ({ dtype, shape }: (typeof scales)[number]): Tensor =>
    ortTensor(dtype === 'float64' ? Float64Array.of(lossScale) : Float32Array.of(lossScale), shape.map(Number));
  return {
    ...random.feeds(graph, batch, moment),
    // Labels that are drawn are not fed.
    ...Object.fromEntries([...graph.inputs, ...graph.targets].map(({ name }) => [name, batch[name]])),
    ...Object.fromEntries(scales.map((scale) => [scale.name, scaleOf(scale)])),
  };
}

/** Outputs of the model among those of a graph in training mode. */
export function modelOutputs({ outputs }: Pick<GradientsGraph, 'outputs'>, results: Feeds): Feeds {
  return Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, results[output]]));
}

/**
 * How the runtime is to optimize a graph in training mode, with what the caller says of sessions.
 *
 * Above `basic` it rearranges constants for its kernels: a frozen network then computes about as fast as the exported model.
 * Weights that are trained are inputs, with which it finds nothing to do, in up to twice the time; so most of the layers have
 * to be frozen. At `basic`, {@link FINDING_NOTHING} is left out, unless the caller says what is to be.
 */
export function stepSession(graph: Pick<GradientsGraph, 'model' | 'parameters'>, own: SessionOptions): SessionOptions {
  if (own.graphOptimizationLevel !== undefined) return own;
  const { session, ...others } = own.extra ?? {};
  const threads = {
    session: {
      intra_op: { spin_duration_us: SPIN_MICROSECONDS },
      ...(typeof session === 'object' ? session : {}),
    },
  };
  if (isMostlyFrozen(graph)) return { graphOptimizationLevel: 'all', ...own, extra: { ...threads, ...others } };
  const optimization = { disable_specified_optimizers: FINDING_NOTHING.join(';') };
  return { ...own, extra: { ...threads, optimization, ...others } };
}

/**
 * How long threads of a session look for work before they sleep: longer than what lies between two steps of a small network,
 * whose median is 8 % longer with 2 ms than with 10.
 * By itself ONNX Runtime has them look for 40 ms, also when a session begins to be made and nothing is to be done yet. That
 * takes a core from what is done beside, and from the update.
 */
const SPIN_MICROSECONDS = '10000';

/**
 * Optimizers of the level `basic` that find nothing in graphs that have been lowered: products are written for the target
 * before, constants shared, and what is quantized taken apart. Each looks through all nodes, most of them twice: a sixth of
 * the time in which a session of 8,000 nodes is made.
 */
const FINDING_NOTHING: readonly string[] = [
  'ConstantSharing',
  'DoubleQDQPairsRemover',
  'EnsureUniqueDQForNodeUnit',
  'GeluFusionL1',
  'LayerNormFusionL1',
  'MatMulAddFusion',
  'QDQPropagationTransformer',
  'SliceConcatToSpaceToDepthFusion',
  'WeightBiasQuantization',
  'WhereDummyDq',
];

function isMostlyFrozen({ model: { graph }, parameters }: Pick<GradientsGraph, 'model' | 'parameters'>): boolean {
  const constants = new Set(graph?.initializer.flatMap(({ name, dims }) => (dims.length > 1 ? [name] : [])));
  const trained = new Set(parameters.map(({ name }) => name));
  let balance = 0;
  for (const { opType, input } of graph?.node ?? []) {
    if (!LAYERS.has(opType)) continue;
    if (constants.has(input[1])) balance++;
    else if (trained.has(input[1])) balance--;
  }
  return balance > 0;
}

const LAYERS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/**
 * Loss and gradients in ONNX Runtime, everything else on the run's device: the fastest on the CPU, where elementwise graphs
 * are bound by the memory traffic of their intermediate results.
 */
export class GradientSteps implements Steps {
  readonly provider: ChosenProvider;
  readonly #graph: GradientsGraph;
  readonly #session: Session;
  readonly #estimates: GradientSteps | undefined;

  private constructor(
    graph: GradientsGraph,
    session: Session,
    provider: ChosenProvider,
    estimates: GradientSteps | undefined,
  ) {
    this.provider = provider;
    this.#graph = graph;
    this.#session = session;
    this.#estimates = estimates;
  }

  /**
   * @param graph written for the provider's target
   * @param estimate the gradients of `Loss.drawn`, scaled, for an optimizer that takes them in
   */
  static async create(
    graph: GradientsGraph,
    { provider, session }: RuntimeOptions,
    estimate?: GradientsGraph,
  ): Promise<GradientSteps> {
    const made = await Session.create(graph.model, provider, stepSession(graph, session));
    try {
      const estimates = estimate && (await GradientSteps.create(estimate, { provider, session }));
      return new GradientSteps(graph, made, provider, estimates);
    } catch (error) {
      await made.release();
      throw error;
    }
  }

  source(batch: Feeds, beside: Beside, options: CallOptions): GradientSource<StateBuffer> {
    const estimates = this.#estimates;
    return {
      evaluate: (context) => this.#evaluate(batch, beside, context, options),
      ...(estimates && {
        estimate: async (context) => {
          // Rules multiply the square by the number of samples, which what they are given has in it already.
          const scaled = { ...context, lossScale: 1 / Math.sqrt(beside.samples) };
          // Outputs and running statistics are those of the gradient itself.
          const { loss } = await estimates.#evaluate(batch, { ...beside, give: () => undefined }, scaled, options);
          return { ...(loss !== undefined && { loss }) };
        },
      }),
    };
  }

  async release(): Promise<void> {
    await this.#session.release();
    await this.#estimates?.release();
  }

  async #evaluate(
    batch: Feeds,
    beside: Beside,
    context: GradientContext<StateBuffer>,
    options: CallOptions,
  ): Promise<Evaluated> {
    const { parameters, gradients: outputs, loss, outputs: wanted, statistics: moving } = this.#graph;
    const tensorOf = (buffer: StateBuffer, shape: readonly number[]): Tensor => ortTensor(hostView(buffer), shape);
    const feeds = {
      ...trainingFeeds(this.#graph, batch, beside, context),
      ...beside.statistics.feeds(),
      ...Object.fromEntries(parameters.map(({ name, shape }) => [name, tensorOf(context.parameters[name], shape)])),
    };
    const fetches: Readonly<Record<string, Tensor | null>> = Object.fromEntries([
      [loss, null] as const,
      ...Object.values(wanted).map((output) => [output, null] as const),
      ...moving.map(({ output }) => [output, null] as const),
      ...parameters.map(({ name, shape }) => [outputs[name], tensorOf(context.gradients[name], shape)] as const),
    ]);
    const results = await this.#session.run(feeds, fetches, options);
    // Some providers of onnxruntime-node do not write into tensors that they are given.
    for (const { name } of parameters) {
      const [gradient, result] = [hostView(context.gradients[name]), elements(results[outputs[name]])];
      if (result !== gradient) gradient.set(result);
    }
    beside.give(modelOutputs(this.#graph, results));
    return {
      loss: numberOf(results[loss]),
      accept: () => {
        beside.statistics.adopt(results);
      },
    };
  }
}
