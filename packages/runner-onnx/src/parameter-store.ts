import {
  castTensor,
  copyTensor,
  filled,
  optimizerState,
  restoreOptimizer,
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
  optimizer: Optimizer;
  step = 0;

  /** @param values initial parameters; copied */
  constructor(optimizer: Optimizer, values: NamedTensors) {
    this.optimizer = optimizer;
    this.parameters = Object.entries(values).map(([name, value]) => ({
      name,
      value: copyTensor(value),
      step: 0,
      slots: {},
    }));
    this.ensureSlots();
  }

  /** Creates the slots that the optimizer needs and the parameters do not have yet. */
  ensureSlots(): void {
    for (const { name, value, slots } of this.parameters) {
      for (const { name: slot, initial } of this.optimizer.for(name).program.slots) {
        slots[slot] ??= filled(value.dtype, value.shape, initial);
      }
    }
  }

  state(origin: string): TrainingState {
    const copies = this.parameters.map(({ name, value, step, slots }): [string, ParameterState] => {
      const kept = this.optimizer
        .for(name)
        .program.slots.map((slot) => [slot.name, copyTensor(slots[slot.name])] as const);
      return [name, { value: copyTensor(value), step, slots: Object.fromEntries(kept) }];
    });
    return {
      optimizer: optimizerState(this.optimizer),
      step: this.step,
      parameters: Object.fromEntries(copies),
      origin,
    };
  }

  /** @throws AdakitError when the state does not fit; nothing is changed then */
  load(state: TrainingState): void {
    const shapes = Object.fromEntries(this.parameters.map(({ name, value }) => [name, value.shape]));
    this.optimizer = restoreOptimizer(state, this.optimizer, shapes);
    this.step = state.step;
    for (const parameter of this.parameters) {
      const { value, step, slots } = state.parameters[parameter.name];
      const { dtype } = parameter.value;
      parameter.value = castTensor(value, dtype);
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

/** A tensor of ours over the runtime's memory. */
export function fromOrt(tensor: Tensor): TensorData {
  return tensor.type === 'float64'
    ? { dtype: 'float64', shape: tensor.dims, data: tensor.data as Float64Array }
    : { dtype: 'float32', shape: tensor.dims, data: tensor.data as Float32Array };
}
