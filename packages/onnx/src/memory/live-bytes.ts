import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { bytesOfElements } from '../model/tensor.js';
import { evaluateDim } from '../shape/dim.js';
import type { Dependencies } from './execution-order.js';

/** Operators whose output is their input under another shape, in the same memory. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

/** Whether a node computes nothing, and its output lies in the memory of its first input. */
export function isView({ key, inputs }: Node): boolean {
  return VIEWS.has(key) && inputs[0] !== undefined;
}

/** The value whose memory a value lies in. */
export function memoryOf(value: Value): Value {
  let found = value;
  for (let node = found.producer; node !== undefined && isView(node); node = found.producer) {
    found = node.inputs[0] ?? found;
  }
  return found;
}

/** Elements of a tensor for given sizes of its free dimensions; undefined where these do not tell. */
export function elementsOf({ shape }: Value, sizes: ReadonlyMap<string, number>): number | undefined {
  let elements = 1;
  for (const dim of shape ?? []) {
    const length = evaluateDim(dim, sizes);
    if (length === undefined) return undefined;
    elements *= length;
  }
  return shape && elements;
}

/** As {@link elementsOf}, in bytes. */
export function bytesOf(value: Value, sizes: ReadonlyMap<string, number>): number | undefined {
  const elements = elementsOf(value, sizes);
  return elements === undefined || value.dtype === undefined ? undefined : bytesOfElements(value.dtype, elements);
}

/** What nodes keep, by their numbers. */
export interface Footprint extends Dependencies {
  /** Bytes that each node makes. */
  readonly bytes: readonly number[];
  /** For a node that computes a view: the nodes, one, in whose memory its output lies. */
  readonly within: readonly (number | undefined)[];
}

/** The most that is kept at a time. */
export interface Peak {
  readonly bytes: number;
  /** Where in the order. */
  readonly at: number;
}

/**
 * The most bytes that are kept at a time when nodes are executed in an order: what a node makes is kept from then until the
 * last one that uses it, or a view of it, is done. Kernels that write over their input take less.
 */
export function peakOf({ sources, bytes, within }: Footprint, order: readonly number[]): Peak {
  const done = lastUses({ sources, within }, order);
  const ending = new Map<number, number[]>();
  let [live, most, place] = [0, 0, 0];
  order.forEach((number, at) => {
    live += bytes[number];
    if (live > most) [most, place] = [live, at];
    const end = Math.max(done[number], at);
    const list = ending.get(end);
    if (bytes[number] > 0) {
      if (list === undefined) ending.set(end, [number]);
      else list.push(number);
    }
    for (const gone of ending.get(at) ?? []) live -= bytes[gone];
  });
  return { bytes: most, at: place };
}

/** Where in an order the memory that each node makes is used last; -1 where it never is. */
export function lastUses({ sources, within }: Omit<Footprint, 'bytes'>, order: readonly number[]): Int32Array {
  const last = new Int32Array(sources.length).fill(-1);
  order.forEach((number, at) => {
    for (const source of sources[number]) {
      let made: number | undefined = source;
      // A view of a view keeps all of them.
      while (made !== undefined) {
        last[made] = at;
        made = within[made];
      }
    }
  });
  return last;
}
