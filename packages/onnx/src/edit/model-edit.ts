import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { OnnxError } from '../error.js';
import { attribute, type AttributeValue } from '../graph/attribute.js';
import { graphToProto } from '../graph/to-model.js';
import { upgradedGraph } from '../passes/import.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';

/** Initializers need not be listed as inputs from this IR version on. */
const FREE_INITIALIZERS = 4n;

/**
 * A model being changed, at the level of its file: opset, names and everything that is not changed stay. The model that
 * it starts from is not modified.
 */
export class ModelEdit {
  readonly model: Model;
  readonly initializers: Map<string, TensorProto>;
  nodes: NodeProto[];
  readonly #names = new Set<string>();
  readonly #captured = new Set<string>();
  #producers: ReadonlyMap<string, NodeProto> | undefined;
  #consumers: ReadonlyMap<string, readonly NodeProto[]> | undefined;

  constructor(model: Model) {
    const { graph } = model;
    this.model = model;
    this.nodes = [...graph.node];
    this.initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    for (const { name } of [...graph.input, ...graph.initializer]) this.#names.add(name);
    for (const node of graph.node) {
      for (const name of node.output) this.#names.add(name);
      for (const body of bodiesOf(node)) collectNames(body, this.#captured);
    }
  }

  /** The node that computes a value. */
  producer(name: string): NodeProto | undefined {
    this.#producers ??= new Map(this.nodes.flatMap((node) => node.output.map((output) => [output, node] as const)));
    return name === '' ? undefined : this.#producers.get(name);
  }

  /** The nodes that have a value as an input, in the order of the file. */
  consumers(name: string): readonly NodeProto[] {
    if (this.#consumers === undefined) {
      const consumers = new Map<string, NodeProto[]>();
      for (const node of this.nodes) {
        for (const input of new Set(node.input)) consumers.set(input, [...(consumers.get(input) ?? []), node]);
      }
      this.#consumers = consumers;
    }
    return this.#consumers.get(name) ?? [];
  }

  /** Whether a value is used by anything but inputs of nodes: as an output of the model, or inside a subgraph. */
  isExposed(name: string): boolean {
    return this.#captured.has(name) || this.model.graph.output.some((output) => output.name === name);
  }

  /** The elements of a constant, be it an initializer or the output of a Constant node. */
  constant(name: string): Tensor | undefined {
    const initializer = this.initializers.get(name);
    if (initializer !== undefined) return Tensor.fromProto(initializer);
    const producer = this.producer(name);
    const value =
      producer?.opType === 'Constant' ? producer.attribute.find((each) => each.name === 'value') : undefined;
    return value?.t === undefined ? undefined : Tensor.fromProto(value.t);
  }

  /** `hint`, or if the name is taken `hint` with a number behind; taken from now on. */
  uniqueName(hint: string): string {
    let name = hint;
    for (let i = 1; this.#names.has(name) || this.#captured.has(name); i++) name = `${hint}_${i}`;
    this.#names.add(name);
    return name;
  }

  setInitializer(name: string, tensor: Tensor): void {
    this.#names.add(name);
    this.initializers.set(name, tensor.toProto(name));
  }

  /** Puts a node of the default domain after another one, or first. */
  insertAfter(place: NodeProto | undefined, ...nodes: readonly NodeProto[]): void {
    this.nodes.splice(place === undefined ? 0 : this.nodes.indexOf(place) + 1, 0, ...nodes);
    this.#forget();
  }

  remove(nodes: ReadonlySet<NodeProto>): void {
    this.nodes = this.nodes.filter((node) => !nodes.has(node));
    this.#forget();
  }

  /** Puts a changed copy of a node in its place. */
  replace(
    node: NodeProto,
    changes: Partial<Pick<NodeProto, 'domain' | 'opType' | 'input' | 'output' | 'attribute'>>,
  ): NodeProto {
    const changed = Object.assign(create(NodeProtoSchema), node, changes);
    this.nodes[this.nodes.indexOf(node)] = changed;
    this.#forget();
    return changed;
  }

  /** Whatever is computed from a value. */
  computedFrom(name: string): ReadonlySet<string> {
    const found = new Set([name]);
    const pending = [name];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      for (const { output } of this.consumers(value)) {
        for (const next of output) {
          if (next === '' || found.has(next)) continue;
          found.add(next);
          pending.push(next);
        }
      }
    }
    return found;
  }

  /**
   * The changed model.
   *
   * @param reshaped values whose shapes are not what the file declares any more; those of outputs are inferred
   * @throws {OnnxError} when shapes do not fit together
   */
  finish(reshaped: ReadonlySet<string> = new Set()): Model {
    const { graph: before, proto } = this.model;
    const initializer = [...this.initializers.values()];
    // Initializers that are listed as inputs, too, no longer are where this is not needed or they have changed.
    const kept = new Set(initializer);
    const gone = new Set<string>();
    for (const tensor of before.initializer) {
      if (proto.irVersion < FREE_INITIALIZERS || !kept.has(tensor)) gone.add(tensor.name);
    }
    const present = new Set<string>();
    for (const { output } of this.nodes) for (const name of output) present.add(name);
    const graph = Object.assign(create(GraphProtoSchema), before, {
      initializer,
      node: this.nodes,
      input: before.input.filter(({ name }) => !gone.has(name)),
      valueInfo: before.valueInfo.filter(({ name }) => present.has(name) && !reshaped.has(name)),
      output: before.output.map((info) => (reshaped.has(info.name) ? withoutShape(info) : info)),
    });
    if (before.output.some(({ name }) => reshaped.has(name))) {
      const inferred = new Map(
        graphToProto(upgradedGraph(this.#modelOf(graph))).output.map((info) => [info.name, info] as const),
      );
      graph.output = before.output.map((info) => {
        const found = reshaped.has(info.name) ? inferred.get(info.name) : undefined;
        return found === undefined ? info : withFreeDimensions(found, info);
      });
    }
    return this.#modelOf(graph);
  }

  #modelOf(graph: GraphProto): Model {
    const { proto, source, written } = this.model;
    const irVersion = proto.irVersion < FREE_INITIALIZERS ? FREE_INITIALIZERS : proto.irVersion;
    const changed = Object.assign(create(ModelProtoSchema), proto, { graph, irVersion });
    return { proto: changed, graph, source, ...(written && { written }) };
  }

  #forget(): void {
    this.#producers = undefined;
    this.#consumers = undefined;
  }
}

/** A node of the default domain. */
export function makeNode(
  name: string,
  opType: string,
  input: string[],
  output: string,
  attributes: Readonly<Record<string, AttributeValue>> = {},
): NodeProto {
  const protos: AttributeProto[] = Object.entries(attributes).map(([key, value]) => attribute(key, value));
  return create(NodeProtoSchema, { name, opType, input, output: [output], attribute: protos });
}

/** How messages refer to a node. */
export function labelOf({ opType, name, output }: NodeProto): string {
  return name === '' ? `${opType} node of '${output[0]}'` : `${opType} node '${name}'`;
}

/** An INT attribute. */
export function intAttribute(node: NodeProto, name: string, fallback: number): number {
  const found = node.attribute.find((each) => each.name === name);
  return found === undefined ? fallback : Number(found.i);
}

/** Refuses an argument. */
export function refuse(message: string): never {
  throw new OnnxError('invalid-argument', message);
}

type ValueInfo = GraphProto['output'][number];

/** What is inferred, with the names that the file gives to dimensions that are not numbers. */
function withFreeDimensions(inferred: ValueInfo, declared: ValueInfo): ValueInfo {
  const [found, given] = [inferred, declared].map(({ type }) =>
    type?.value.case === 'tensorType' ? type.value.value.shape?.dim : undefined,
  );
  if (found?.length !== given?.length) return inferred;
  found?.forEach((dim, i) => {
    const written = given?.[i];
    if (dim.value.case !== 'dimValue' && written?.value.case === 'dimParam') found[i] = written;
  });
  return inferred;
}

function withoutShape(info: ValueInfo): ValueInfo {
  const { type } = info;
  if (type?.value.case !== 'tensorType') return info;
  const copy = <T extends object>(thing: T, changes: Partial<T>): T =>
    Object.assign(Object.create(Object.getPrototypeOf(thing) as object) as T, thing, changes);
  const value = copy(type.value.value, {});
  delete value.shape;
  return copy(info, { type: copy(type, { value: { case: 'tensorType', value } }) });
}

function bodiesOf({ attribute: attributes }: NodeProto): readonly GraphProto[] {
  return attributes.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

function collectNames(body: GraphProto, names: Set<string>): void {
  for (const { name } of body.output) names.add(name);
  for (const node of body.node) {
    for (const name of node.input) names.add(name);
    for (const inner of bodiesOf(node)) collectNames(inner, names);
  }
}
