import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { equalShapes } from '../../shape/shape.js';
import type { Chain } from './chains.js';
import type { Numbering } from './numbering.js';
import { slicesOf, type Slices } from './slices.js';

/** One value or node of each copy, in order of the copies. */
export type Row<T> = readonly T[];

/** Where a node of a body is: which of its rows, and in which copy. */
interface Place {
  readonly row: Row<Node>;
  readonly copy: number;
}

/** What the values are that the copies read at one place. */
export type Source =
  | { readonly kind: 'same'; readonly value: Value }
  | { readonly kind: 'body'; readonly row: Row<Node>; readonly output: number }
  /** What the copy before has computed; the first copy reads `start`. */
  | { readonly kind: 'state'; readonly row: Row<Node>; readonly output: number; readonly start: Value }
  | { readonly kind: 'slices'; readonly slices: Slices }
  /** Values that have nothing to do with one another. */
  | { readonly kind: 'apart'; readonly values: Row<Value> };

/**
 * Copies of a body in a graph: rows of nodes of one form, one node a copy, such that what they read comes from the same copy,
 * from the one before it, or from outside.
 */
export class Recurrence {
  readonly count: number;
  readonly #graph: Graph;
  readonly #numbering: Numbering;
  readonly #order: ReadonlyMap<Node, number>;
  readonly #consumers: ReadonlyMap<Value, readonly Node[]>;
  readonly #places = new Map<Node, Place>();
  readonly #rows: Row<Node>[] = [];

  private constructor(graph: Graph, numbering: Numbering, count: number) {
    this.count = count;
    this.#graph = graph;
    this.#numbering = numbering;
    this.#order = new Map(graph.nodes.map((node, i) => [node, i]));
    this.#consumers = graph.consumers();
  }

  /** The copies whose results are the values of a chain; undefined where they are not of one form. */
  static along(chain: Chain, graph: Graph, numbering: Numbering): Recurrence | undefined {
    const recurrence = new Recurrence(graph, numbering, chain.length);
    const row = recurrence.#rowOf(chain);
    if (row === undefined || !recurrence.#grow(row)) return undefined;
    if (!recurrence.#states().some(({ row: next }) => next === row)) return undefined;
    recurrence.#extend();
    return recurrence;
  }

  /** Rows in the order of the graph. */
  get rows(): readonly Row<Node>[] {
    const at = ([node]: Row<Node>) => this.#order.get(node) ?? 0;
    return [...this.#rows].sort((a, b) => at(a) - at(b));
  }

  has(node: Node): boolean {
    return this.#places.has(node);
  }

  /** The nodes that read a value and are not of the body. */
  readersOutside(value: Value): readonly Node[] {
    return (this.#consumers.get(value) ?? []).filter((node) => !this.#places.has(node));
  }

  /** Where the copies get a row of values from. */
  sourceOf(values: Row<Value>): Source {
    const [start] = values;
    const { numberOf } = this.#numbering;
    if (values.every((value) => numberOf(value) === numberOf(start))) return { kind: 'same', value: start };
    const at = values.map((value) => this.#placeOf(value));
    const [first, second] = at;
    const isAt = (place: (typeof at)[number], row: Row<Node>, output: number, copy: number) =>
      place?.row === row && place.output === output && place.copy === copy;
    if (first !== undefined && at.every((place, t) => isAt(place, first.row, first.output, t))) {
      return { kind: 'body', row: first.row, output: first.output };
    }
    if (second !== undefined && at.every((place, t) => t === 0 || isAt(place, second.row, second.output, t - 1))) {
      return { kind: 'state', row: second.row, output: second.output, start };
    }
    const slices = slicesOf(values);
    return slices === undefined ? { kind: 'apart', values } : { kind: 'slices', slices };
  }

  /** The values that the nodes of a row read, input by input. */
  inputsOf(row: Row<Node>): readonly (Row<Value> | undefined)[] {
    return row[0].inputs.map((_, i) => {
      const values = row.flatMap(({ inputs }) => inputs[i] ?? []);
      return values.length === this.count ? values : undefined;
    });
  }

  #placeOf(value: Value): (Place & { output: number }) | undefined {
    const node = value.producer;
    const place = node && this.#places.get(node);
    return place && { ...place, output: node.outputs.indexOf(value) };
  }

  /** The nodes that compute a row of values, where they can be a row of the body. */
  #rowOf(values: Row<Value>): Row<Node> | undefined {
    const row = values.flatMap(({ producer }) => producer ?? []);
    const output = row[0]?.outputs.indexOf(values[0]);
    if (row.length !== this.count || !values.every((value, t) => row[t].outputs[output] === value)) return undefined;
    return this.#isRow(row) ? row : undefined;
  }

  #isRow(row: Row<Node>): boolean {
    const [first] = row;
    const form = this.#numbering.formOf(first);
    const isLikeFirst = (node: Node) =>
      this.#numbering.formOf(node) === form &&
      node.inputs.length === first.inputs.length &&
      node.inputs.every((input, i) => (input === undefined) === (first.inputs[i] === undefined)) &&
      node.outputs.every((output, i) => isLike(output, first.outputs[i]));
    return (
      form !== undefined &&
      first.inputs.some((input) => input !== undefined) &&
      new Set(row).size === this.count &&
      row.every((node) => !this.#places.has(node) && isLikeFirst(node))
    );
  }

  /** Adds a row and what it needs; takes all of it back where the copies do not fit. */
  #grow(row: Row<Node>): boolean {
    const before = this.#rows.length;
    this.#place(row);
    const pending = new Set(this.inputsOf(row).flatMap((values) => (values === undefined ? [] : [values])));
    while (pending.size > 0) {
      // What comes last first: what a copy computes is known before what it is given by the one before.
      const values = [...pending].reduce((a, b) => (this.#orderOf(a) >= this.#orderOf(b) ? a : b));
      pending.delete(values);
      const source = this.sourceOf(values);
      if (source.kind !== 'apart') continue;
      const inner = this.#rowOf(values);
      if (inner === undefined) continue;
      this.#place(inner);
      for (const each of this.inputsOf(inner)) if (each !== undefined) pending.add(each);
    }
    if (this.#fits()) return true;
    for (const taken of this.#rows.splice(before)) for (const node of taken) this.#places.delete(node);
    return false;
  }

  #place(row: Row<Node>): void {
    this.#rows.push(row);
    row.forEach((node, copy) => this.#places.set(node, { row, copy }));
  }

  #orderOf([, value]: Row<Value>): number {
    return value.producer === undefined ? -1 : (this.#order.get(value.producer) ?? -1);
  }

  #sources(): readonly Source[] {
    return this.#rows.flatMap((row) =>
      this.inputsOf(row).flatMap((values) => (values === undefined ? [] : [this.sourceOf(values)])),
    );
  }

  #states(): readonly (Source & { kind: 'state' })[] {
    return this.#sources().filter((source) => source.kind === 'state');
  }

  /** Whether the copies are one loop: all that comes from outside can be computed before it, and has one shape. */
  #fits(): boolean {
    const after = this.#after();
    const isBefore = (value: Value) => value.producer === undefined || !after.has(value.producer);
    return this.#sources().every((source) => {
      switch (source.kind) {
        case 'same':
          return isBefore(source.value);
        case 'state': {
          const next = source.row[0].outputs[source.output];
          return isBefore(source.start) && next?.shape !== undefined && isLike(source.start, next);
        }
        case 'slices':
          return isBefore(source.slices.whole);
        case 'apart': {
          const [first] = source.values;
          return first.shape !== undefined && source.values.every((value) => isBefore(value) && isLike(value, first));
        }
        default:
          return true;
      }
    });
  }

  /** The nodes of the body and all that depend on them. */
  #after(): ReadonlySet<Node> {
    const after = new Set<Node>(this.#places.keys());
    for (const node of this.#graph.nodes) {
      const isAfter = (input: Value | undefined) => input?.producer !== undefined && after.has(input.producer);
      if (node.reads.some(isAfter)) after.add(node);
    }
    return after;
  }

  /** Adds what every copy computes besides: a projection of its state, say. */
  #extend(): void {
    const tried = new Set<Node>();
    // Grows while it is walked.
    for (const row of this.#rows) {
      for (const [output, value] of row[0].outputs.entries()) {
        if (value === undefined) continue;
        const readers = row.map(({ outputs }) => {
          const each = outputs[output];
          return each === undefined ? [] : this.readersOutside(each);
        });
        for (const reader of readers[0]) {
          if (tried.has(reader) || reader.key === 'Concat' || reader.key === 'Unsqueeze') continue;
          tried.add(reader);
          const form = this.#numbering.formOf(reader);
          const alike = (nodes: readonly Node[]) => nodes.filter((node) => this.#numbering.formOf(node) === form);
          const which = alike(readers[0]).indexOf(reader);
          const next = readers.flatMap((nodes) => alike(nodes).at(which) ?? []);
          if (next.length === this.count && this.#isRow(next)) this.#grow(next);
        }
      }
    }
  }
}

function isLike(a: Value | undefined, b: Value | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.dtype !== undefined &&
    a.dtype === b.dtype &&
    a.shape !== undefined &&
    b.shape !== undefined &&
    equalShapes(a.shape, b.shape)
  );
}
