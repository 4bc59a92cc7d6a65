import type { Variable } from '@tensorflow/tfjs-core';
import { baseName } from './variables.js';

/**
 * Finds the variables that belong to what was saved under other variables' names. TensorFlow.js gives a model that is
 * loaded while another is alive new variable names, so names are compared in rounds, each for what the ones before have
 * left:
 *
 * 1. the same name;
 * 2. the same name but for a number at the end (`dense/kernel` and `dense/kernel_1`); several such in order;
 * 3. the same name but for all numbers at the ends of its parts, where no name of that kind fits so far: layers without a
 *    name of their own count through (`dense_Dense1/kernel` and `dense_Dense3/kernel`); several such in order;
 * 4. if no name fits at all: all of them in order.
 *
 * A round pairs only equally many, and only those that fit.
 *
 * @param options `fits`: default, all do; `inOrder`: whether there is a fourth round, default true
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
  const met = new Set([...matches.keys()].map(({ name }) => withoutNumbers(name)));
  pair((name) => (met.has(withoutNumbers(name)) ? name : withoutNumbers(name)));
  if (inOrder && matches.size === 0) pair(() => '');
  return matches;
}

/** `dense_Dense2/kernel_1` → `dense_Dense/kernel`. */
function withoutNumbers(name: string): string {
  return name.replace(/_?\d+(?=\/|$)/g, '');
}
