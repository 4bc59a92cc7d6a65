import {
  AdakitError,
  castTensor,
  copyTensor,
  filled,
  loadTensor,
  optimizerState,
  restoreOptimizer,
  sameShape,
  type NamedTensors,
  type Optimizer,
  type ParameterState,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { Tensor } from 'onnxruntime-node';

/** One parameter with its slots, in host memory. */
export interface StoredParameter {
  readonly name: string;
  value: TensorData;
  /** Updates so far. */
  step: number;
  slots: Record<string, TensorData>;
}

/** Parameters, slots and step counts of a run, independent of how steps are computed. */
export class ParameterStore {
  readonly parameters: readonly StoredParameter[];
  /** Tensors that training changes without the optimizer: the running statistics of batch normalizations. */
  readonly statistics: Map<string, TensorData>;
  optimizer: Optimizer;
  step = 0;

  /** @param values initial parameters; they and the statistics are taken over, not copied, and change from now on */
  constructor(optimizer: Optimizer, values: NamedTensors, statistics: NamedTensors = {}) {
    this.optimizer = optimizer;
    this.parameters = Object.entries(values).map(([name, value]) => ({ name, value, step: 0, slots: {} }));
    this.statistics = new Map(Object.entries(statistics));
    this.ensureSlots();
  }

  /** Parameters and statistics by name: the weights of the model. Not copied. */
  get weights(): NamedTensors {
    return {
      ...Object.fromEntries(this.parameters.map(({ name, value }) => [name, value])),
      ...Object.fromEntries(this.statistics),
    };
  }

  /** Creates the slots that the optimizer needs and the parameters do not have yet. */
  ensureSlots(): void {
    for (const { name, value, slots } of this.parameters) {
      for (const { name: slot, initial } of this.optimizer.for(name).program.slots) {
        slots[slot] ??= filled(value.dtype, value.shape, initial);
      }
    }
  }

  /** A copy of everything. */
  state(origin: string): TrainingState {
    return this.#describe(origin, copyTensor);
  }

  /** As {@link state}, in the memory of the run: for reading it before the next step, without holding it twice. */
  view(origin: string): TrainingState {
    return this.#describe(origin, (tensor) => tensor);
  }

  #describe(origin: string, take: (tensor: TensorData) => TensorData): TrainingState {
    const parameters = this.parameters.map(({ name, value, step, slots }): [string, ParameterState] => {
      const kept = this.optimizer.for(name).program.slots.map((slot) => [slot.name, take(slots[slot.name])] as const);
      return [name, { value: take(value), step, slots: Object.fromEntries(kept) }];
    });
    const statistics = Object.fromEntries([...this.statistics].map(([name, value]) => [name, take(value)]));
    return {
      optimizer: optimizerState(this.optimizer),
      step: this.step,
      parameters: Object.fromEntries(parameters),
      ...(this.statistics.size === 0 ? {} : { statistics }),
      origin,
    };
  }

  /** @throws AdakitError when the state does not fit; nothing is changed then */
  load(state: TrainingState): void {
    const statistics = [...this.statistics].map(([name, { dtype, shape }]) => {
      const value = state.statistics?.[name];
      if (value !== undefined && sameShape(value.shape, shape)) {
        return [name, castTensor('data' in value ? value : loadTensor(value), dtype)] as const;
      }
      throw new AdakitError(
        'state-mismatch',
        `the state has no running statistic '${name}' of shape [${shape.join(', ')}]; load one of this model`,
      );
    });
    const shapes = Object.fromEntries(this.parameters.map(({ name, value }) => [name, value.shape]));
    this.optimizer = restoreOptimizer(state, this.optimizer, shapes);
    this.step = state.step;
    for (const [name, value] of statistics) this.statistics.set(name, value);
    for (const parameter of this.parameters) {
      const { value, step, slots } = state.parameters[parameter.name];
      const { dtype } = parameter.value;
      parameter.value.data.set(value.data);
      parameter.step = step;
      parameter.slots = Object.fromEntries(
        Object.entries(slots).map(([name, slot]) => [name, castTensor(slot, dtype)]),
      );
    }
  }
}

/** The runtime's view of a tensor; shares its memory. */
export function ortTensor({ dtype, shape, data }: TensorData): Tensor {
  return new Tensor(dtype as 'float32', data as Float32Array, shape);
}

/** Parameters and statistics for the runtime. */
export function weightFeeds({ weights }: ParameterStore): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(weights).map(([name, value]) => [name, ortTensor(value)]));
}

/** A tensor of ours over the runtime's memory. */
export function fromOrt(tensor: Tensor): TensorData {
  return tensor.type === 'float64'
    ? { dtype: 'float64', shape: tensor.dims, data: tensor.data as Float64Array }
    : { dtype: 'float32', shape: tensor.dims, data: tensor.data as Float32Array };
}
