import type { Graph } from './graph.js';
import type { Value } from './value.js';

/**
 * Whether a value depends on what is fed, to the graph or to the body that it is in: others are weights or made of them.
 *
 * @param known values that do, to which it is added: who asks for one layer after the other goes back from each to the last
 */
export function isFed(value: Value, known = new Set<Value>()): boolean {
  const seen = new Set<Value>([value]);
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { producer, tensor } = next;
    if (tensor !== undefined) continue;
    if (producer === undefined || known.has(next)) {
      known.add(value);
      return true;
    }
    for (const input of producer.reads) {
      if (input === undefined || seen.has(input)) continue;
      seen.add(input);
      pending.push(input);
    }
  }
  return false;
}

/** All values of a graph for which that is so, where they are asked for one after the other. */
export function fedValues({ inputs, nodes }: Graph): ReadonlySet<Value> {
  const fed = new Set<Value>(inputs);
  const isIn = (value: Value | undefined) => value !== undefined && fed.has(value);
  for (const node of nodes) {
    if (!node.reads.some(isIn)) continue;
    for (const output of node.outputs) if (output !== undefined) fed.add(output);
  }
  return fed;
}
