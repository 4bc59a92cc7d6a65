import type { Evaluated, GradientContext, GradientSource, Plan, WholeStep } from '@adakit/core';
import {
  planStructure,
  trainStepGraph,
  type GradientsOptions,
  type Model,
  type PlanEmission,
  type TrainStepGraph,
} from '@adakit/onnx';
import { Session, type ChosenProvider } from './execution-provider.js';
import type { StateBuffer } from './host.js';
import type { DeviceMemory } from './native/device-memory.js';
import { ResidentStep, type Kept, type StepOutputs } from './native/resident-step.js';
import { numberOf } from './ort-tensor.js';
import { keptFeeds, planResults, scalarFeeds } from './plan-tensors.js';
import type { CallOptions } from './runtime/runtime.js';
import {
  modelOutputs,
  optimizationLevel,
  trainingFeeds,
  type Beside,
  type Feeds,
  type RuntimeOptions,
  type Steps,
} from './steps.js';

interface Compiled {
  readonly graph: TrainStepGraph;
  readonly session: Session;
  /** Where the state is on the device. */
  readonly resident: ResidentStep | undefined;
}

/** Graphs kept at a time: with gradients collected over batches, the last batch of a step has another than the others. */
const MOST_KEPT = 2;

/** What whole steps are made of. */
interface WholeStepsParts {
  /** Asked for whenever another graph is needed. */
  readonly model: () => Model;
  /** As the gradients graph was made with, and what it has chosen to train. */
  readonly options: GradientsOptions;
  /** Made from the parameters of the gradients graph, for one gradient a step. */
  readonly plan: Plan;
  readonly runtime: RuntimeOptions;
  /** The device's memory that holds the state of the run; released with the steps. */
  readonly memory?: DeviceMemory | undefined;
}

/** The whole step in one ONNX graph, which any ONNX Runtime can run. */
export class WholeSteps implements Steps {
  readonly provider: ChosenProvider;
  /** Where the state is between steps; undefined for the host. */
  readonly memory: DeviceMemory | undefined;
  readonly #parts: WholeStepsParts;
  /** By structure, the one used last at the end. */
  readonly #compiled: Map<string, Compiled>;

  private constructor(parts: WholeStepsParts, first: readonly [structure: string, compiled: Compiled]) {
    this.#parts = parts;
    this.provider = parts.runtime.provider;
    this.memory = parts.memory;
    this.#compiled = new Map([first]);
  }

  static async create(parts: WholeStepsParts): Promise<WholeSteps> {
    const { model, options, plan, runtime, memory } = parts;
    try {
      const graph = trainStepGraph(model(), { ...options, plan });
      return new WholeSteps(parts, [planStructure({ plan }), await compiledOf(graph, runtime, memory)]);
    } catch (error) {
      await memory?.release();
      throw error;
    }
  }

  source(batch: Feeds, beside: Beside, options: CallOptions): GradientSource<StateBuffer> {
    return { evaluate: (context) => this.#evaluate(batch, beside, context, options) };
  }

  async release(): Promise<void> {
    for (const compiled of this.#compiled.values()) await releaseCompiled(compiled);
    await this.memory?.release();
  }

  async #evaluate(
    batch: Feeds,
    beside: Beside,
    context: GradientContext<StateBuffer>,
    options: CallOptions,
  ): Promise<Evaluated> {
    const { whole } = context;
    options.signal?.throwIfAborted();
    const { graph, session, resident } = await this.#compile(whole);
    const feeds = { ...trainingFeeds(graph, batch, beside, context), ...scalarFeeds(graph.plan, whole) };
    const kept = { whole, statistics: beside.statistics };
    const done = await (resident?.run(feeds, kept, options) ?? runOnHost(graph, session, feeds, kept, options));
    beside.give(modelOutputs(graph, done.results));
    return { loss: numberOf(done.results[graph.loss]), whole: done.whole, accept: done.accept };
  }

  /** Other flags, other groups, or parameters that have had other numbers of updates, make another graph. */
  async #compile({ plan, stages, steps }: WholeStep<StateBuffer>): Promise<Compiled> {
    const emission: PlanEmission = { plan, stages, cohort: ({ index }) => steps[index] };
    const structure = planStructure(emission);
    let compiled = this.#compiled.get(structure);
    if (compiled === undefined) {
      const { model, options, runtime } = this.#parts;
      const graph = trainStepGraph(model(), { ...options, ...emission });
      compiled = await compiledOf(graph, runtime, this.memory);
    }
    this.#compiled.delete(structure);
    this.#compiled.set(structure, compiled);
    const [oldest, unused] = [...this.#compiled][0];
    if (this.#compiled.size > MOST_KEPT) {
      this.#compiled.delete(oldest);
      await releaseCompiled(unused);
    }
    return compiled;
  }
}

async function compiledOf(
  graph: TrainStepGraph,
  { provider, session: options }: RuntimeOptions,
  memory: DeviceMemory | undefined,
): Promise<Compiled> {
  const session = await Session.create(graph.model, provider, { ...optimizationLevel(graph), ...options });
  const { native } = session;
  const resident = memory && native ? new ResidentStep(graph, session, native, memory) : undefined;
  return { graph, session, resident };
}

async function releaseCompiled({ resident, session }: Compiled): Promise<void> {
  resident?.release();
  await session.release();
}

/** A step whose state comes from the host's memory and goes back to it. */
async function runOnHost(
  graph: TrainStepGraph,
  session: Session,
  feeds: Feeds,
  { whole, statistics }: Kept,
  options: CallOptions,
): Promise<StepOutputs> {
  const all = { ...feeds, ...statistics.feeds(), ...keptFeeds(graph.plan, whole) };
  const results = await session.run(all, undefined, options);
  return {
    results,
    whole: planResults(graph.plan, results, whole),
    accept: () => {
      statistics.adopt(results);
    },
  };
}
