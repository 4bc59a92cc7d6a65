import { compileLoop, type Optimizer, type Program, type UpdateLoop } from '@adakit/core';
import {
  gradientsGraph,
  trainStepGraph,
  type Model,
  type ParameterSpec,
  type StatisticSpec,
  type TargetSpec,
  type TensorSpec,
  type TrainingOptions,
} from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { createSessionOnFirst, Session, type ExecutionProvider, type SessionOptions } from './execution-provider.js';
import { fromOrt, ortTensor, weightFeeds, type ParameterStore } from './parameter-store.js';
import { scalarFeeds } from './scalar-feeds.js';

type Feeds = Readonly<Record<string, Tensor>>;

/** One way of computing a training step. */
export interface Stepper {
  readonly inputs: readonly TensorSpec[];
  readonly targets: readonly TargetSpec[];
  readonly parameters: readonly ParameterSpec[];
  readonly statistics: readonly StatisticSpec[];
  readonly provider: ExecutionProvider;
  /**
   * Computes loss and new parameters for a batch; `accept` sees the loss before anything is changed and may throw.
   * Returns the loss.
   */
  step(store: ParameterStore, batch: Feeds, accept: (loss: number) => void): Promise<number>;
  release(): Promise<void>;
}

/** How sessions are made. */
export interface StepperOptions extends TrainingOptions {
  readonly providers: readonly ExecutionProvider[];
  readonly session: SessionOptions;
}

/**
 * Loss and gradients in ONNX Runtime, the update in one fused loop over host memory: the fastest on the CPU, where
 * elementwise graphs are bound by the memory traffic of their intermediate results.
 */
export async function fusedStepper(model: Model, options: StepperOptions): Promise<Stepper> {
  const graph = gradientsGraph(model, options);
  const { session, provider } = await createSessionOnFirst(graph.model, options.providers, options.session);
  const loops = new Map<string, UpdateLoop>();
  const loopFor = (program: Program, dtype: 'float32' | 'float64'): UpdateLoop => {
    const key = `${program.hash} ${dtype}`;
    let loop = loops.get(key);
    if (loop === undefined) {
      loop =
        dtype === 'float32' ? (compileLoop(program, dtype) as UpdateLoop) : (compileLoop(program, dtype) as UpdateLoop);
      loops.set(key, loop);
    }
    return loop;
  };
  return {
    ...graph,
    provider,
    async step(store, batch, accept) {
      const feeds: Record<string, Tensor> = { ...batch, ...weightFeeds(store) };
      const results = await session.run(feeds);
      const loss = readLoss(results[graph.loss]);
      accept(loss);
      keepStatistics(store, graph.statistics, results);
      for (const parameter of store.parameters) {
        const rule = store.optimizer.for(parameter.name).at(store.step + 1);
        const { program } = rule;
        const gradient = fromOrt(results[graph.gradients[parameter.name]]);
        parameter.step++;
        loopFor(program, parameter.value.dtype)(
          {
            param: parameter.value.data,
            grad: gradient.data,
            slots: program.slots.map(({ name }) => parameter.slots[name].data),
          },
          rule.scalars(parameter.step),
        );
      }
      return loss;
    },
    release: () => session.release(),
  };
}

/** The whole step in one ONNX graph: what any stock ONNX Runtime can run. */
export async function graphStepper(model: Model, options: StepperOptions, optimizer: Optimizer): Promise<Stepper> {
  let graph = trainStepGraph(model, { ...options, optimizer });
  let built = structure(
    optimizer,
    graph.parameters.map(({ name }) => ({ name, step: 0 })),
  );
  const { provider, ...first } = await createSessionOnFirst(graph.model, options.providers, options.session);
  let { session } = first;

  /** A changed flag, or a loaded state whose parameters differ in step count, needs another graph. */
  const rebuildIfNeeded = async (store: ParameterStore): Promise<void> => {
    const wanted = structure(store.optimizer, store.parameters);
    if (wanted === built) return;
    const steps = new Map(store.parameters.map(({ name, step }) => [name, step]));
    // By name: what the weights have become must not change the selection.
    const train = [...steps.keys()];
    const { optimizer } = store;
    graph = trainStepGraph(model, { ...options, train, optimizer, cohort: (name) => steps.get(name) ?? 0 });
    await session.release();
    session = await Session.create(graph.model, provider, options.session);
    built = wanted;
  };

  return {
    ...graph,
    provider,
    async step(store, batch, accept) {
      await rebuildIfNeeded(store);
      const feeds: Record<string, Tensor> = { ...batch, ...weightFeeds(store) };
      const { groups, slots, updated } = graph.optimizer;
      for (const { name, slots: stored } of store.parameters) {
        for (const [slot, { input }] of Object.entries(slots[name])) feeds[input] = ortTensor(stored[slot]);
      }
      for (const group of groups) {
        const [first] = group.parameters;
        const step = store.parameters.find(({ name }) => name === first)?.step ?? store.step;
        Object.assign(feeds, scalarFeeds(group, store.optimizer.for(first).at(store.step + 1), step + 1));
      }
      const results = await session.run(feeds);
      const loss = readLoss(results[graph.loss]);
      accept(loss);
      keepStatistics(store, graph.statistics, results);
      for (const parameter of store.parameters) {
        parameter.step++;
        // In place: the model that was read, which these may be part of, is not kept beside them.
        parameter.value.data.set(fromOrt(results[updated[parameter.name]]).data);
        for (const [slot, { output }] of Object.entries(slots[parameter.name])) {
          parameter.slots[slot] = fromOrt(results[output]);
        }
      }
      return loss;
    },
    release: () => session.release(),
  };
}

/** What the optimizer part of a graph depends on: how parameters are grouped, every group's rule, and which step counts agree. */
function structure(
  optimizer: Optimizer,
  parameters: readonly { readonly name: string; readonly step: number }[],
): string {
  const members: Optimizer[] = [];
  const cohorts: number[] = [];
  const indexIn = <T>(list: T[], item: T): number => (list.includes(item) ? list.indexOf(item) : list.push(item) - 1);
  return parameters
    .map(({ name, step }) => {
      const member = optimizer.for(name);
      return `${indexIn(members, member)} ${indexIn(cohorts, step)} ${member.program.hash}`;
    })
    .join();
}

function readLoss(tensor: Tensor): number {
  return (tensor.data as Float32Array | Float64Array)[0];
}

function keepStatistics(store: ParameterStore, statistics: readonly StatisticSpec[], results: Feeds): void {
  for (const { name, output } of statistics) store.statistics.set(name, fromOrt(results[output]));
}
