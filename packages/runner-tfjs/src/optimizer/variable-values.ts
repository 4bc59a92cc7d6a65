import type { SourceRun, TensorData } from '@adakit/core';
import { AdakitError } from '@adakit/core/runner';
import { clone, keep, tensor, tidy, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import type { Cell } from '../device/cell.js';
import { isAlive } from './variables.js';

/**
 * Does `work` while variables hold a view of their weights; afterwards they are what they were.
 *
 * @param trained variables, with the names by which the run knows them
 * @throws AdakitError `invalid-plan` for what is no function, `unknown-view`
 */
export async function whileHolding<T>(
  run: Pick<SourceRun<Cell>, 'weights'>,
  view: string,
  trained: ReadonlyMap<Variable, string>,
  work: () => T | Promise<T>,
): Promise<T> {
  if (typeof work !== 'function') throw new AdakitError('invalid-plan', 'withWeights() takes a function');
  // Those being trained are what the variables hold, and all are before anything has been trained.
  const others = view === 'trained' ? [] : [...trained];
  const values = others.length > 0 ? await run.weights(view) : {};
  const before: [Variable, Tensor][] = [];
  try {
    for (const [variable, name] of others) {
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
