import type { Variable } from '@tensorflow/tfjs-core';
import { baseName } from './variables.js';

/**
 * Finds the variables that belong to what was saved under other variables' names. TensorFlow.js gives a model that is
 * loaded while another is alive new variable names, so names are compared in rounds, each for what the ones before have
 * left:
 *
 * 1. the same name;
 * 2. the same name but for a number at the end (`dense/kernel` and `dense/kernel_1`); several such in order;
 * 3. if no name fits at all: all of them in order.
 *
 * A round pairs only equally many, and only those that fit.
 *
 * @param options `fits`: default, all do; `inOrder`: whether there is a third round, default true
 */
export function matchByName<T extends { readonly name: string }>(
  saved: readonly T[],
  variables: readonly Variable[],
  {
    fits = () => true,
    inOrder = true,
  }: { readonly fits?: (saved: T, variable: Variable) => boolean; readonly inOrder?: boolean } = {},
): Map<T, Variable> {
  const matches = new Map<T, Variable>();
  const pair = (key: (name: string) => string): void => {
    const taken = new Set(matches.values());
    const [left, free] = [saved.filter((each) => !matches.has(each)), variables.filter((each) => !taken.has(each))];
    for (const common of new Set(left.map(({ name }) => key(name)))) {
      const these = left.filter(({ name }) => key(name) === common);
      const those = free.filter(({ name }) => key(name) === common);
      const fit = these.length === those.length && these.every((each, i) => fits(each, those[i]));
      if (fit) these.forEach((each, i) => matches.set(each, those[i]));
    }
  };
  pair((name) => name);
  pair(baseName);
  if (inOrder && matches.size === 0) pair(() => '');
  return matches;
}
