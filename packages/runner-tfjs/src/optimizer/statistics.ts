import type { FloatArray, MaybePromise, TrainingState } from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { Cell } from '../device/cell.js';
import type { TfjsDevice } from '../device/device.js';
import { isAlive, registeredVariables } from './variables.js';

/** What a state has beside what is trained here. */
export type Others = Pick<TrainingState, 'statistics' | 'random'>;

/** A statistic whose value is being read. */
export type StatisticReading = readonly [name: string, shape: readonly number[], data: MaybePromise<FloatArray>];

/** Variables as they were at a moment. */
export interface Snapshot {
  /** Gives those that have been assigned to since then their values back. */
  restore(): void;
  dispose(): void;
}

/**
 * The variables that training changes without gradients, such as the moving mean and variance of a batch normalization.
 * TensorFlow.js does not tell an optimizer the model; but they are those, and only those, that are not trainable and that a
 * loss function assigns to.
 */
export class Statistics {
  /** With the names by which states know them. */
  readonly #names = new Map<Variable, string>();

  /**
   * What a loaded state has that is not of TensorFlow.js, to go on with it elsewhere: statistics that there are no variables
   * for, such as the batches that PyTorch counts, and the seed of what the model draws.
   */
  others: Others = {};

  /** Those seen so far that have not been disposed, with their names. */
  get variables(): readonly (readonly [variable: Variable, name: string])[] {
    return [...this.#names].filter(([variable]) => isAlive(variable));
  }

  add(variable: Variable, name: string): void {
    this.#names.set(variable, name);
  }

  /** Begins to read their values. */
  read(device: TfjsDevice): readonly StatisticReading[] {
    return this.variables.map(([variable, name]) => [name, variable.shape, device.read(new Cell(variable))]);
  }

  /** Evaluates a loss function and notes what it assigns to. */
  observe<T>(evaluate: () => T): T {
    const before = frozenVariables().map((variable) => [variable, variable.dataId] as const);
    const result = evaluate();
    for (const [variable, dataId] of before) {
      if (variable.dataId !== dataId && !this.#names.has(variable)) this.#names.set(variable, variable.name);
    }
    return result;
  }
}

/** Remembers all variables that are not trainable: tensors that share their data, so no copies. */
export function takeSnapshot(): Snapshot {
  const before = frozenVariables().map((variable): [Variable, Tensor] => [variable, tf.clone(variable)]);
  return {
    restore() {
      for (const [variable, value] of before) {
        if (isAlive(variable) && variable.dataId !== value.dataId) tf.tidy(() => { variable.assign(tf.clone(value)); }); // prettier-ignore
      }
    },
    dispose() {
      for (const [, value] of before) value.dispose();
    },
  };
}

function frozenVariables(): Variable[] {
  return Object.values(registeredVariables()).filter(({ trainable }) => !trainable);
}
