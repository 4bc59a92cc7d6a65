import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { bytesOfElements } from '../model/tensor.js';
import { evaluateDim } from '../shape/substitution.js';
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
  /** Equal for nodes that ONNX Runtime knows to make the same sizes; undefined for one whose sizes it does not know. */
  readonly kinds: readonly (number | undefined)[];
}

/** The most that is kept at a time. */
export interface Peak {
  readonly bytes: number;
  /** Where in the order. */
  readonly at: number;
}

/**
 * The most bytes that ONNX Runtime keeps at a time when it executes nodes in an order.
 *
 * It decides ahead which values share a buffer: a value gets the one that was last done with among those made for the same
 * element size and shape, and a new one only where there is none. A buffer is there from the first of its values to the end of
 * the last one, in between as well, when it holds nothing. Kernels that write over their input, as activations do, take less.
 */
export function peakOf(footprint: Footprint, order: readonly number[]): Peak {
  const changes = new Float64Array(order.length + 1);
  for (const { bytes, from, to } of buffersOf(footprint, order)) {
    changes[from] += bytes;
    changes[to + 1] -= bytes;
  }
  let [live, most, place] = [0, 0, 0];
  order.forEach((_, at) => {
    live += changes[at];
    if (live > most) [most, place] = [live, at];
  });
  return { bytes: most, at: place };
}

/** Memory that several nodes make their outputs in, one after the other. */
export interface Buffer {
  readonly bytes: number;
  /** Where in the order it is taken, */
  readonly from: number;
  /** and where it is given back: at the end of that node. */
  readonly to: number;
  /** Who made what is in it, with the place in the order. */
  readonly makers: readonly (readonly [at: number, node: number])[];
}

/** A buffer while nodes go by. */
interface Filled {
  readonly bytes: number;
  readonly from: number;
  readonly kind: number | undefined;
  readonly makers: [at: number, node: number][];
  to: number;
  /** Uses of what is in it that are to come. */
  uses: number;
}

/** The buffers that values lie in, as described at {@link peakOf}. */
export function buffersOf({ sources, bytes, within, kinds }: Footprint, order: readonly number[]): readonly Buffer[] {
  const uses = new Int32Array(sources.length);
  for (const number of order) for (const source of sources[number]) uses[source]++;
  const made: Filled[] = [];
  const holds: (Filled | undefined)[] = [];
  const idle = new Map<number, Filled[]>();
  const bufferFor = (number: number, at: number): Filled => {
    const kind = kinds[number];
    const free = kind === undefined ? undefined : idle.get(kind)?.pop();
    if (free !== undefined) return free;
    const buffer: Filled = { bytes: bytes[number], from: at, to: at, kind, makers: [], uses: 0 };
    made.push(buffer);
    return buffer;
  };
  const leave = (buffer: Filled, at: number): void => {
    if (buffer.uses > 0) return;
    buffer.to = at;
    if (buffer.kind === undefined) return;
    const list = idle.get(buffer.kind);
    if (list === undefined) idle.set(buffer.kind, [buffer]);
    else list.push(buffer);
  };
  order.forEach((number, at) => {
    const view = within[number];
    const own = view === undefined ? (bytes[number] > 0 ? bufferFor(number, at) : undefined) : holds[view];
    if (own !== undefined) {
      holds[number] = own;
      own.uses += uses[number];
      if (view === undefined) own.makers.push([at, number]);
    }
    for (const source of sources[number]) {
      const used = holds[source];
      if (used === undefined) continue;
      used.uses--;
      if (used !== own) leave(used, at);
    }
    if (own !== undefined) leave(own, at);
  });
  return made;
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
