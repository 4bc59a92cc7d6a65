import type { Evaluated, GradientContext, GradientSource, HostBuffer, Plan, WholeStep } from '@adakit/core';
import {
  planStructure,
  trainStepGraph,
  type GradientsGraph,
  type GradientsOptions,
  type Model,
  type PlanEmission,
  type TrainStepGraph,
} from '@adakit/onnx';
import { createSessionOnFirst, Session, type ExecutionProvider } from './execution-provider.js';

import { numberOf } from './ort-tensor.js';
import { planFeeds, planResults } from './plan-tensors.js';
import {
  GradientSteps,
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
}

/** Graphs kept at a time: with gradients collected over batches, the last batch of a step has another than the others. */
const MOST_KEPT = 2;

/**
 * The whole step in one ONNX graph, which any ONNX Runtime can run. Steps that take the gradient twice are computed by
 * {@link GradientSteps}.
 */
export class WholeSteps implements Steps {
  readonly provider: ExecutionProvider;
  readonly #model: () => Model;
  readonly #options: GradientsOptions;
  readonly #runtime: RuntimeOptions;
  /** By structure, the one used last at the end. */
  readonly #compiled: Map<string, Compiled>;

  private constructor(
    model: () => Model,
    options: GradientsOptions,
    runtime: RuntimeOptions,
    provider: ExecutionProvider,
    first: readonly [structure: string, compiled: Compiled],
  ) {
    this.#model = model;
    this.#options = options;
    this.#runtime = runtime;
    this.provider = provider;
    this.#compiled = new Map([first]);
  }

  /**
   * @param model asked for whenever another graph is needed
   * @param options as `gradients` was made with, and what it has chosen to train
   * @param plan made from the parameters of `gradients`
   * @throws TrainingError `no-execution-provider`
   */
  static async create(
    model: () => Model,
    options: GradientsOptions,
    gradients: GradientsGraph,
    plan: Plan,
    runtime: RuntimeOptions,
  ): Promise<Steps> {
    if (plan.perturbStages.length > 0) return GradientSteps.create(gradients, runtime);
    const graph = trainStepGraph(model(), { ...options, plan });
    const level = optimizationLevel(graph);
    const { session, provider } = await createSessionOnFirst(graph.model, runtime.providers, {
      ...level,
      ...runtime.session,
    });
    return new WholeSteps(model, options, runtime, provider, [planStructure({ plan }), { graph, session }]);
  }

  source(batch: Feeds, beside: Beside): GradientSource<HostBuffer> {
    return { evaluate: (context) => this.#evaluate(batch, beside, context) };
  }

  async release(): Promise<void> {
    for (const { session } of this.#compiled.values()) await session.release();
  }

  async #evaluate(batch: Feeds, beside: Beside, context: GradientContext<HostBuffer>): Promise<Evaluated> {
    const { whole } = context;
    const { graph, session } = await this.#compile(whole);
    const results = await session.run({
      ...trainingFeeds(graph, batch, beside, context),
      ...planFeeds(graph.plan, whole),
    });
    return {
      loss: numberOf(results[graph.loss]),
      whole: planResults(graph.plan, results, whole),
      accept: () => {
        beside.statistics.adopt(results);
      },
    };
  }

  /** Other flags, other groups, or parameters that have had other numbers of updates, make another graph. */
  async #compile({ plan, stages, kept }: WholeStep<HostBuffer>): Promise<Compiled> {
    const emission: PlanEmission = { plan, stages, cohort: ({ index }) => kept[index].step };
    const structure = planStructure(emission);
    let compiled = this.#compiled.get(structure);
    if (compiled === undefined) {
      const graph = trainStepGraph(this.#model(), { ...this.#options, ...emission });
      compiled = {
        graph,
        session: await Session.create(graph.model, this.provider, {
          ...optimizationLevel(graph),
          ...this.#runtime.session,
        }),
      };
    }
    this.#compiled.delete(structure);
    this.#compiled.set(structure, compiled);
    const [oldest, { session }] = [...this.#compiled][0];
    if (this.#compiled.size > MOST_KEPT) {
      this.#compiled.delete(oldest);
      await session.release();
    }
    return compiled;
  }
}
