import {
  elementCount,
  type Evaluated,
  type GradientContext,
  type GradientSource,
  type Plan,
  type SeveralEvaluated,
  type SeveralStepsSource,
  type WholeStep,
} from '@adakit/core';
import {
  planStructure,
  severalSteps,
  trainStepGraph,
  type GradientsOptions,
  type Model,
  type PlanEmission,
  type TrainStepGraph,
} from '@adakit/onnx';
import { Session, type ChosenProvider } from './execution-provider.js';
import { Tensor } from 'onnxruntime-node';
import type { StateBuffer } from './host.js';
import type { DeviceMemory } from './native/device-memory.js';
import { ResidentStep, type Kept, type StepOutputs } from './native/resident-step.js';
import { numberOf } from './ort-tensor.js';
import { keptFeeds, nonFiniteIn, planResults, scalarFeeds } from './plan-tensors.js';
import type { CallOptions } from './runtime/runtime.js';
import {
  modelOutputs,
  stepSession,
  trainingFeeds,
  type Beside,
  type Feeds,
  type RuntimeOptions,
  type SeveralFeeds,
  type Steps,
} from './steps.js';

interface Compiled {
  /** What is in it; of several steps, each. */
  readonly graph: TrainStepGraph;
  readonly session: Session;
  /** Where the state is on the device. */
  readonly resident: ResidentStep | undefined;
}

/**
 * Graphs kept at a time: with gradients collected over batches, the last batch of a step has another than the others; with
 * several steps a run, those that are left over are taken one by one.
 */
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
  /** How many steps a run makes where there are batches for them. */
  readonly stepsPerRun: number;
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
    const { plan, stepsPerRun, memory } = parts;
    try {
      return new WholeSteps(parts, [
        structureOf({ plan }, stepsPerRun),
        await compiledOf(parts, { plan }, stepsPerRun),
      ]);
    } catch (error) {
      await memory?.release();
      throw error;
    }
  }

  source(batch: Feeds, beside: Beside, options: CallOptions): GradientSource<StateBuffer> {
    return { evaluate: (context) => this.#evaluate(batch, beside, context, options) };
  }

  several(batches: readonly SeveralFeeds[], options: CallOptions): SeveralStepsSource<StateBuffer> {
    return { evaluate: (contexts) => this.#evaluateSeveral(batches, contexts, options) };
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
    const { graph, session, resident } = await this.#compile(whole, 1);
    const feeds = { ...trainingFeeds(graph, batch, beside, context), ...scalarFeeds(graph.plan, whole) };
    const kept = { whole, statistics: beside.statistics };
    const done = await (resident?.run(feeds, kept, options) ?? runOnHost(graph, session, feeds, kept, options));
    beside.give(modelOutputs(graph, done.results));
    return { loss: numberOf(done.results[graph.loss]), whole: done.whole, accept: done.accept };
  }

  async #evaluateSeveral(
    batches: readonly SeveralFeeds[],
    contexts: readonly GradientContext<StateBuffer>[],
    options: CallOptions,
  ): Promise<SeveralEvaluated> {
    const [{ whole }] = contexts;
    const [{ beside }] = batches;
    options.signal?.throwIfAborted();
    const { graph, session } = await this.#compile(whole, batches.length);
    const feeds = stacked(batches.length, (at) => ({
      ...trainingFeeds(graph, batches[at].batch, batches[at].beside, contexts[at]),
      ...scalarFeeds(graph.plan, contexts[at].whole),
    }));
    const done = await runOnHost(graph, session, feeds, { whole, statistics: beside.statistics }, options);
    const { results } = done;
    batches.forEach((each, at) => {
      const own = Object.values(graph.outputs).map((name) => [name, partOf(results[name], at)] as const);
      each.beside.give(modelOutputs(graph, Object.fromEntries(own)));
    });
    return {
      losses: batches.map((_, at) => numberOf(partOf(results[graph.loss], at))),
      nonFinite: batches.map((_, at) => nonFiniteIn(partOf(results[graph.plan.finite], at), whole)),
      commit: done.whole.commit,
      accept: done.accept,
    };
  }

  /** Other flags, other groups, or parameters that have had other numbers of updates, make another graph. */
  async #compile({ plan, stages, steps }: WholeStep<StateBuffer>, count: number): Promise<Compiled> {
    const emission: PlanEmission = { plan, stages, cohort: ({ index }) => steps[index] };
    const structure = structureOf(emission, count);
    const compiled = this.#compiled.get(structure) ?? (await compiledOf(this.#parts, emission, count));
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

function structureOf(emission: PlanEmission, count: number): string {
  return `${String(count)} ${planStructure(emission)}`;
}

/** @param count steps in one run */
async function compiledOf(
  { model, options, runtime: { provider, session: own }, memory }: WholeStepsParts,
  emission: PlanEmission,
  count: number,
): Promise<Compiled> {
  const graph = severalSteps(trainStepGraph(model(), { ...options, ...emission }), count);
  const session = await Session.create(graph.model, provider, stepSession(graph, own));
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

/**
 * Tensors of several steps as one each, with an axis in front.
 *
 * @param at those of a step, valid until the next is asked for; of one shape in all
 */
function stacked(count: number, at: (step: number) => Feeds): Record<string, Tensor> {
  const all = new Map<string, { readonly type: string; readonly dims: readonly number[]; readonly data: Elements }>();
  for (let step = 0; step < count; step++) {
    for (const [name, { type, dims, data }] of Object.entries(at(step))) {
      const own = data as Elements;
      let whole = all.get(name);
      if (whole === undefined) {
        const make = own.constructor as new (length: number) => Elements;
        all.set(name, (whole = { type, dims: [count, ...dims], data: new make(count * own.length) }));
      }
      whole.data.set(own as never, step * own.length);
    }
  }
  return Object.fromEntries(
    [...all].map(([name, { type, dims, data }]) => [name, new Tensor(type as 'float32', data as Float32Array, dims)]),
  );
}

/** Elements that can be set one range at a time: all but strings. */
type Elements = Exclude<Tensor['data'], readonly string[]>;

/** One of the tensors along the first axis, in the same memory. */
function partOf(tensor: Tensor, at: number): Tensor {
  const dims = tensor.dims.slice(1);
  const length = elementCount(dims);
  const data = (tensor.data as Float32Array).subarray(at * length, (at + 1) * length);
  return new Tensor(tensor.type as 'float32', data, dims);
}
