import {
  AdakitError,
  castTensor,
  copyTensor,
  elementCount,
  sameShape,
  type NamedTensors,
  type TrainingState,
} from '@adakit/core';
import type { StatisticSpec } from '@adakit/onnx';
import { loadTensor } from '@adakit/state';
import type { Tensor } from 'onnxruntime-node';
import { ResidentBuffer } from './native/resident-device.js';
import { fromOrt, ortTensor, tensorOf } from './ort-tensor.js';

type StoredStatistics = NonNullable<TrainingState['statistics']>;

/** Tensors that training changes without the optimizer: the running statistics of batch normalizations. */
export class Statistics {
  readonly #specs: readonly StatisticSpec[];
  /** Those of the host; without any while they are on a device. */
  #values: NamedTensors;
  /** Where steps leave them on a device. */
  #resident: ReadonlyMap<string, ResidentBuffer> | undefined;
  /** Those of a loaded state that the model does not have: other software counts its batches there, say. */
  #others: StoredStatistics = {};

  /** @param values not copied, and never written to */
  constructor(specs: readonly StatisticSpec[], values: NamedTensors) {
    this.#specs = specs;
    this.#values = values;
  }

  /** By name; not copied. */
  get values(): NamedTensors {
    const resident = this.#resident;
    if (resident === undefined) return this.#values;
    return Object.fromEntries(
      this.#specs.flatMap(({ name, shape }) => {
        const buffer = resident.get(name);
        return buffer === undefined ? [] : [[name, tensorOf(buffer.view(), shape)]];
      }),
    );
  }

  /** Buffers on a device that have them from now on, by name; what they become is current once each is swapped. */
  resident(): ReadonlyMap<string, ResidentBuffer> {
    this.#resident ??= new Map(
      this.#specs.map(({ name, dtype, shape }) => [name, new ResidentBuffer(dtype, elementCount(shape))]),
    );
    if (Object.keys(this.#values).length > 0) {
      for (const [name, buffer] of this.#resident) buffer.overwrite().set(this.#values[name].data);
      this.#values = {};
    }
    return this.#resident;
  }

  feeds(): Record<string, Tensor> {
    return Object.fromEntries(
      Object.entries(this.values).map(([name, { data, shape }]) => [name, ortTensor(data, shape)]),
    );
  }

  /** Takes over what a step has made of them. */
  adopt(results: Readonly<Record<string, Tensor>>): void {
    this.#values = Object.fromEntries(this.#specs.map(({ name, output }) => [name, fromOrt(results[output])]));
  }

  /** Those of a state. @throws AdakitError `state-mismatch` */
  parse({ statistics = {} }: TrainingState): NamedTensors {
    return Object.fromEntries(
      this.#specs.map(({ name, dtype, shape }) => {
        const stored = Object.hasOwn(statistics, name) ? statistics[name] : undefined;
        const value = stored === undefined || 'data' in stored ? stored : loadTensor(stored);
        if (value !== undefined && sameShape(value.shape, shape) && value.data.length === elementCount(shape)) {
          return [name, castTensor(value, dtype)];
        }
        throw new AdakitError(
          'state-mismatch',
          `the state has no running statistic '${name}' of shape [${shape.join(', ')}]; load one of this model`,
        );
      }),
    );
  }

  /** @param values from {@link parse}, for the same state */
  load(values: NamedTensors, { statistics = {} }: TrainingState): void {
    this.#values = values;
    if (this.#resident !== undefined) this.resident();
    this.#others = Object.fromEntries(
      Object.entries(statistics).filter(([name]) => this.#specs.every((spec) => spec.name !== name)),
    );
  }

  /** All that a state has: the model's, and what the state had that was loaded. Not copied. */
  get stored(): StoredStatistics {
    return { ...this.#others, ...this.values };
  }

  /** As {@link stored}, the model's copied; the others are never written to. */
  copies(): StoredStatistics {
    const own = Object.entries(this.values).map(([name, value]) => [name, copyTensor(value)] as const);
    return { ...this.#others, ...Object.fromEntries(own) };
  }
}
