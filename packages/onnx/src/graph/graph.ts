import type { TypeProto } from 'onnx-buf';
import { Budget, type Limits } from '../budget.js';
import { OnnxError } from '../error.js';
import type { Tensor } from '../model/tensor.js';
import { unknown, type Dim } from '../shape/dim.js';
import { Equalities } from '../shape/equalities.js';
import type { Node } from './node.js';
import { Value, type ValueInfo } from './value.js';

/**
 * A dataflow graph of ONNX operators. Nodes are kept in an order in which every value is computed before it is used;
 * names of values are unique. Values are found by name with {@link Graph.value}.
 *
 * The body of a node such as If or Scan is a graph inside another one: its nodes may use the values of that one.
 */
export class Graph {
  name: string;
  /** The graph that this one lies in, for the body of a node. */
  readonly outer: Graph | undefined;
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  nodes: Node[] = [];
  /** Versions of the operator sets that its nodes are of, by domain, beside the default one. */
  readonly domains: Map<string, number>;
  readonly #values = new Map<string, Value>();
  #initializers = new Set<Value>();
  /** Of all graphs that lie in one another: what a name means must not depend on the place. */
  readonly #names: Names;
  readonly #depth: number;

  constructor(name = 'graph', outer?: Graph, limits?: Partial<Limits>) {
    this.name = name;
    this.outer = outer;
    this.domains = outer?.domains ?? new Map<string, number>();
    this.#depth = outer === undefined ? 0 : outer.#depth + 1;
    this.#names =
      outer === undefined
        ? { used: new Set(), counts: new Map(), unknowns: 0, equalities: new Equalities(), budget: new Budget(limits) }
        : outer.#names;
    this.budget.requireDepth(this.#depth, () => `graph '${name}'`);
  }

  /** What may still be added, to this graph and all that it lies in or that lie in it. */
  get budget(): Budget {
    return this.#names.budget;
  }

  /** The constants of the graph: values with a `tensor`. */
  get initializers(): readonly Value[] {
    return [...this.#initializers];
  }

  /** The value of that name, if there is one here (not in a graph around or inside). */
  value(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** Whether a value belongs to this graph, not to one around it. */
  owns(value: Value): boolean {
    return this.#values.get(value.name) === value;
  }

  /** As {@link value}, but a missing name is an error. */
  requireValue(name: string): Value {
    const value = this.#values.get(name);
    if (value === undefined) throw new OnnxError('invalid-argument', `graph '${this.name}' has no value '${name}'`);
    return value;
  }

  /** A name not used by any value: `hint` itself when it is free, else with a number behind. */
  uniqueName(hint: string): string {
    const { used, counts } = this.#names;
    if (!used.has(hint)) return hint;
    let count = counts.get(hint) ?? 0;
    let name;
    do name = `${hint}_${++count}`;
    while (used.has(name));
    counts.set(hint, count);
    return name;
  }

  /** A dimension nothing is known about, except that it is at least `least` (1 unless told: it is a size). */
  unknownDim(least = 1): Dim {
    return unknown(this.#names.unknowns++, least);
  }

  /**
   * Learns that two dimensions are equal whenever the graph runs. What a body needs is not forced by the graph around it,
   * which may run it or not.
   */
  equate(a: Dim, b: Dim): void {
    if (this.outer === undefined) this.#names.equalities.add(a, b);
  }

  /** Registers a value under exactly this name. */
  addValue(name: string, info: ValueInfo & { tensor?: Tensor; type?: TypeProto | undefined } = {}): Value {
    if (this.#names.used.has(name)) {
      throw new OnnxError('invalid-model', `the name '${name}' is defined twice in graph '${this.name}'`);
    }
    this.budget.addNode(name, () => `'${name}' in graph '${this.name}'`);
    const value = new Value(name, this.#names.equalities, info);
    this.#enter(value);
    if (value.tensor !== undefined) this.#initializers.add(value);
    return value;
  }

  addInput(name: string, info: ValueInfo & { type?: TypeProto | undefined }): Value {
    const value = this.addValue(name, info);
    this.inputs.push(value);
    return value;
  }

  addInitializer(name: string, tensor: Tensor): Value {
    return this.addValue(name, { dtype: tensor.dtype, shape: tensor.dims, tensor });
  }

  /** Appends a node; its inputs must already be in the graph. */
  addNode(node: Node): Node {
    this.nodes.push(node);
    return node;
  }

  /**
   * Gives a value another name.
   *
   * @throws {OnnxError} `invalid-argument` when the name is taken.
   */
  rename(value: Value, name: string): void {
    if (value.name === name) return;
    if (this.#names.used.has(name)) {
      throw new OnnxError('invalid-argument', `cannot rename '${value.name}' to '${name}': that name is taken`);
    }
    this.#forget(value);
    value.name = name;
    this.#enter(value);
  }

  /** Turns an initializer into a graph input of the same name: this is how a weight becomes a parameter that is fed. */
  initializerToInput(value: Value): Value {
    if (!this.#initializers.has(value)) {
      throw new OnnxError('invalid-argument', `'${value.name}' is not an initializer of graph '${this.name}'`);
    }
    this.#initializers.delete(value);
    // What it holds now is one of the values that it may have.
    value.tensor = undefined;
    this.inputs.push(value);
    return value;
  }

  /** Makes every node and graph output that uses `from` use `to` instead. */
  replaceUses(from: Value, to: Value): void {
    const swap = (values: (Value | undefined)[]) => {
      for (let i = 0; i < values.length; i++) if (values[i] === from) values[i] = to;
    };
    for (const node of this.nodes) {
      swap(node.inputs);
      for (const body of node.bodies.values()) body.replaceUses(from, to);
    }
    swap(this.outputs);
  }

  /** The nodes that use each value as an input or inside a subgraph. */
  consumers(): ReadonlyMap<Value, readonly Node[]> {
    const consumers = new Map<Value, Node[]>();
    for (const node of this.nodes) {
      const use = (input: Value | undefined) => {
        if (input === undefined) return;
        const list = consumers.get(input);
        if (list === undefined) consumers.set(input, [node]);
        // Once, though it may be several inputs.
        else if (list.at(-1) !== node) list.push(node);
      };
      node.reads.forEach(use);
    }
    return consumers;
  }

  /** Removes every node and initializer that no graph output (or value in `keep`) depends on. Inputs stay. */
  removeDead(keep: Iterable<Value> = []): void {
    const live = new Set<Value>();
    const own = new Set(this.nodes);
    const liveNodes = new Set<Node>();
    const pending = [...this.outputs, ...keep];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      if (live.has(value)) continue;
      live.add(value);
      const node = value.producer;
      if (node === undefined || liveNodes.has(node) || !own.has(node)) continue;
      liveNodes.add(node);
      for (const body of node.bodies.values()) body.removeDead();
      for (const input of node.reads) if (input !== undefined) pending.push(input);
    }
    for (const node of this.nodes) {
      if (liveNodes.has(node)) continue;
      for (const output of node.outputs) if (output !== undefined) this.#forget(output);
    }
    this.nodes = this.nodes.filter((node) => liveNodes.has(node));
    for (const value of this.#initializers) if (!live.has(value)) this.#forget(value);
    this.#initializers = new Set([...this.#initializers].filter((value) => live.has(value)));
  }

  /**
   * Orders the nodes so that producers come before users, keeping the present order where it is free.
   *
   * @throws {OnnxError} `invalid-model` when nodes depend on each other in a circle.
   */
  sort(): void {
    const own = new Set(this.nodes);
    if (this.#isSorted(own)) return;
    const waiting = new Map<Node, number>();
    const users = new Map<Node, Node[]>();
    for (const node of this.nodes) {
      const producers = new Set<Node>();
      for (const input of node.reads) {
        if (input?.producer !== undefined && own.has(input.producer)) producers.add(input.producer);
      }
      waiting.set(node, producers.size);
      for (const producer of producers) {
        const list = users.get(producer);
        if (list === undefined) users.set(producer, [node]);
        else list.push(node);
      }
    }
    const sorted = this.nodes.filter((node) => waiting.get(node) === 0);
    // `sorted` grows while it is walked.
    for (const node of sorted) {
      for (const user of users.get(node) ?? []) {
        const left = (waiting.get(user) ?? 0) - 1;
        waiting.set(user, left);
        if (left === 0) sorted.push(user);
      }
    }
    if (sorted.length < this.nodes.length) {
      const stuck = this.nodes.filter((node) => (waiting.get(node) ?? 0) > 0).map(({ label }) => label);
      throw new OnnxError('invalid-model', `graph '${this.name}' has a cycle through ${stuck.slice(0, 5).join(', ')}`);
    }
    this.nodes = sorted;
  }

  #isSorted(own: ReadonlySet<Node>): boolean {
    const done = new Set<Node>();
    for (const node of this.nodes) {
      for (const input of node.reads) {
        if (input?.producer !== undefined && own.has(input.producer) && !done.has(input.producer)) return false;
      }
      done.add(node);
    }
    return true;
  }

  #enter(value: Value): void {
    this.#values.set(value.name, value);
    this.#names.used.add(value.name);
  }

  #forget({ name }: Value): void {
    this.#values.delete(name);
    this.#names.used.delete(name);
  }
}

/** What graphs that lie in one another share. */
interface Names {
  readonly used: Set<string>;
  /** The number last put behind a name. */
  readonly counts: Map<string, number>;
  unknowns: number;
  readonly equalities: Equalities;
  readonly budget: Budget;
}
