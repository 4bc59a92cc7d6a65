import type { NamedTensors, TensorData } from '@adakit/core';
import { AdakitError } from '@adakit/core/runner';
import { clone, keep, tensor, tidy, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { isAlive } from './variables.js';

/**
 * Does `work` while variables hold other values, given by name; afterwards they are what they were.
 *
 * @throws AdakitError `invalid-plan` for what is no function
 */
export async function whileHolding<T>(
  names: ReadonlyMap<Variable, string>,
  values: NamedTensors,
  work: () => T | Promise<T>,
): Promise<T> {
  if (typeof work !== 'function') throw new AdakitError('invalid-plan', 'withWeights() takes a function');
  const before: [Variable, Tensor][] = [];
  try {
    for (const [variable, name] of names) {
      before.push([variable, keep(clone(variable))]);
      assign(variable, values[name]);
    }
    return await work();
  } finally {
    for (const [variable, value] of before) {
      if (isAlive(variable)) variable.assign(value);
      value.dispose();
    }
  }
}

/** Gives a variable a value, by copying. */
export function assign(variable: Variable, { data, shape }: TensorData): void {
  tidy(() => {
    variable.assign(tensor(Float32Array.from(data), [...shape], 'float32'));
  });
}
