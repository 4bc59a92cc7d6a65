import {
  castTensor,
  checkGradients,
  type NamedTensors,
  type Optimizer,
  type Run,
  type Runner,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { optimizerGraph, type EmittedGraph } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { createSessionOnFirst, Session, type ExecutionProvider } from './execution-provider.js';
import { fromOrt, ortTensor, ParameterStore, type StoredParameter } from './parameter-store.js';
import { scalarFeeds } from './scalar-feeds.js';

/**
 * Runs optimizers alone, without a model, as ONNX graphs: one small graph per rule and parameter shape.
 *
 * @param executionProviders tried in order
 */
export function onnxRunner(executionProviders: readonly ExecutionProvider[] = ['cpu']): Runner {
  return {
    backend: 'onnx',
    precision: 'float32',
    start: (optimizer, parameters) => Promise.resolve(new OnnxRun(optimizer, parameters, executionProviders)),
  };
}

interface CompiledUpdate {
  readonly graph: ReturnType<typeof optimizerGraph>;
  readonly session: Session;
}

class OnnxRun implements Run {
  readonly backend = 'onnx';
  readonly #store: ParameterStore;
  readonly #updates = new Map<string, CompiledUpdate>();
  readonly #providers: readonly ExecutionProvider[];
  #provider: ExecutionProvider | undefined;

  constructor(optimizer: Optimizer, parameters: NamedTensors, providers: readonly ExecutionProvider[]) {
    const float32 = Object.entries(parameters).map(([name, value]) => [name, castTensor(value, 'float32')]);
    this.#store = new ParameterStore(optimizer, Object.fromEntries(float32) as NamedTensors);
    this.#providers = providers;
  }

  get optimizer(): Optimizer {
    return this.#store.optimizer;
  }

  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void {
    this.#store.optimizer = this.#store.optimizer.with(changes);
    this.#store.ensureSlots();
  }

  async applyGradients(gradients: NamedTensors): Promise<void> {
    const { parameters } = this.#store;
    checkGradients(gradients, new Map(parameters.map(({ name, value }) => [name, value.shape])));
    const results = [];
    // All updates are computed before any is kept: a failing one leaves the run as it was.
    for (const parameter of parameters) {
      if (!Object.hasOwn(gradients, parameter.name)) continue;
      const gradient = castTensor(gradients[parameter.name], 'float32');
      results.push({ parameter, ...(await this.#update(parameter, gradient)) });
    }
    this.#store.step++;
    for (const { parameter, value, slots } of results)
      Object.assign(parameter, { value, slots, step: parameter.step + 1 });
  }

  state(): Promise<TrainingState> {
    return Promise.resolve(this.#store.state(`onnxruntime-node/${this.#provider ?? this.#providers[0]}`));
  }

  load(state: TrainingState): Promise<void> {
    this.#store.load(state);
    return Promise.resolve();
  }

  async dispose(): Promise<void> {
    const sessions = [...this.#updates.values()];
    this.#updates.clear();
    for (const { session } of sessions) await session.release();
  }

  async #update(
    parameter: StoredParameter,
    gradient: TensorData,
  ): Promise<{ value: TensorData; slots: Record<string, TensorData> }> {
    const { name } = parameter;
    const { graph, session } = await this.#compiled(parameter);
    const { groups, slots, updated } = graph.optimizer;
    const feeds: Record<string, Tensor> = {
      [name]: ortTensor(parameter.value),
      [graph.gradients[name]]: ortTensor(gradient),
    };
    for (const [slot, { input }] of Object.entries(slots[name])) feeds[input] = ortTensor(parameter.slots[slot]);
    for (const group of groups) {
      Object.assign(feeds, scalarFeeds(group, this.optimizer.for(name).at(this.#store.step + 1), parameter.step + 1));
    }
    // A rule need not use everything a graph offers; the runtime refuses feeds that no node reads.
    const known = new Set(session.inputNames);
    const results = await session.run(Object.fromEntries(Object.entries(feeds).filter(([input]) => known.has(input))));
    return {
      value: fromOrt(results[updated[name]]),
      slots: Object.fromEntries(
        Object.entries(slots[name]).map(([slot, { output }]) => [slot, fromOrt(results[output])]),
      ),
    };
  }

  async #compiled({ name, value }: StoredParameter): Promise<CompiledUpdate> {
    const rule = this.optimizer.for(name);
    const key = `${name} ${rule.program.hash}`;
    let compiled = this.#updates.get(key);
    if (compiled === undefined) {
      const graph = optimizerGraph(rule, [{ name, dtype: value.dtype, shape: value.shape }]);
      compiled = { graph, session: await this.#createSession(graph.model) };
      this.#updates.set(key, compiled);
    }
    return compiled;
  }

  async #createSession(model: EmittedGraph['model']): Promise<Session> {
    if (this.#provider !== undefined) return Session.create(model, this.#provider);
    const { session, provider } = await createSessionOnFirst(model, this.#providers);
    this.#provider = provider;
    return session;
  }
}
