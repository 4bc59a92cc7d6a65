import type { GraphProto, NodeProto, TypeProto, ValueInfoProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { withSizes } from '../model/specialize.js';
import { Tensor } from '../model/tensor.js';
import { symbol, type Dim } from '../shape/dim.js';
import { Graph } from './graph.js';
import { Node } from './node.js';
import type { Value, ValueInfo } from './value.js';

/**
 * Builds the graph of a model. Initializers that are also listed as inputs (all of them, before IR version 4) become
 * plain initializers. Types and shapes recorded for inner values are taken over; shape inference refines them.
 */
export function graphFromModel(model: Model): Graph {
  const graph = new Graph(model.graph.name === '' ? 'graph' : model.graph.name, undefined, model.limits);
  const outputs = readIntoGraph(graph, model, {
    input: (info) => graph.addInput(info.name, describeValue(graph, info)),
    rename: (name) => name,
    describe: (info) => describeValue(graph, info),
  });
  graph.outputs.push(...outputs);
  graph.sort();
  return graph;
}

/** How a model is put into a graph. */
export interface Placement {
  /** The value that an input of the model becomes. */
  readonly input: (info: ValueInfoProto) => Value;
  /** What another value is called in the graph. */
  readonly rename: (name: string) => string;
  /** What is taken over of the types and shapes recorded for values. */
  readonly describe: (info: ValueInfoProto) => ValueInfo & { type?: TypeProto | undefined };
}

/**
 * Appends the nodes of a model to a graph, in the order of the file.
 *
 * @returns the outputs of the model
 */
export function readIntoGraph(graph: Graph, model: Model, placement: Placement): readonly Value[] {
  const fail = (what: string) => new OnnxError('invalid-model', `${model.source}: ${what}`);
  for (const { domain, version } of model.proto.opsetImport) {
    if (domain !== '' && domain !== 'ai.onnx') graph.domains.set(domain, Number(version));
  }
  return read(graph, withSizes(model), placement, { fail, find: () => undefined });
}

interface Surroundings {
  readonly fail: (what: string) => OnnxError;
  /** A value of a graph around the one that is read, by its name in the file. */
  readonly find: (name: string) => Value | undefined;
}

function read(
  graph: Graph,
  proto: GraphProto,
  { input, rename, describe }: Placement,
  { fail, find: findAround }: Surroundings,
): readonly Value[] {
  if (proto.sparseInitializer.length > 0) {
    const name = proto.sparseInitializer[0].values?.name ?? '';
    throw fail(`the sparse initializer '${name}' is not supported; store it as a dense tensor`);
  }
  /** By the names in the file. */
  const values = new Map<string, Value>();
  const find = (name: string): Value | undefined => values.get(name) ?? findAround(name);
  const define = (name: string, add: (name: string) => Value): Value => {
    if (values.has(name)) throw fail(`the name '${name}' is defined twice in graph '${proto.name}'`);
    const value = add(rename(name));
    values.set(name, value);
    return value;
  };
  const constants = new Set(proto.initializer.map(({ name }) => name));
  for (const info of proto.input) if (!constants.has(info.name)) define(info.name, () => input(info));
  const keptPacked = namesReadBy(proto, ({ domain }) => domain !== '' && domain !== 'ai.onnx');
  for (const stored of proto.initializer) {
    const tensor = Tensor.fromProto(stored);
    define(stored.name, (name) => graph.addInitializer(name, keptPacked.has(stored.name) ? tensor : tensor.unpacked()));
  }
  const recorded = new Map([...proto.valueInfo, ...proto.output].map((info) => [info.name, info]));
  // All outputs are defined before any input is looked up: files need not list nodes in order.
  const outputs = proto.node.map((node) =>
    node.output.map((original) => {
      const info = recorded.get(original);
      return original === ''
        ? undefined
        : define(original, (name) => graph.addValue(name, info === undefined ? {} : describe(info)));
    }),
  );
  proto.node.forEach((source, index) => {
    const label = `${source.opType} node '${source.name}'`;
    const inputs = source.input.map((name) => {
      if (name === '') return undefined;
      const value = find(name);
      if (value === undefined) throw fail(`${label} reads '${name}', which nothing defines`);
      return value;
    });
    const name = source.name === '' ? `${source.opType}_${index}` : source.name;
    const bodies = new Map(
      source.attribute.flatMap(({ name: attribute, g, graphs }) => {
        if (graphs.length > 0) throw fail(`${label} has a list of graphs, which no operator takes`);
        return g === undefined
          ? []
          : [[attribute, readBody(graph, g, `${name}/${attribute}`, { fail, find }, source.opType)] as const];
      }),
    );
    graph.addNode(
      new Node({
        name,
        op: source.opType,
        domain: source.domain === 'ai.onnx' ? '' : source.domain,
        inputs,
        outputs: outputs[index],
        attributes: source.attribute.filter(({ g }) => g === undefined),
        bodies,
        source,
      }),
    );
  });
  return proto.output.map(({ name }) => {
    const value = find(name);
    if (value === undefined) throw fail(`nothing computes the graph output '${name}'`);
    return value;
  });
}

/** The names that some nodes of a graph read, in bodies too. */
function namesReadBy(graph: GraphProto, isMeant: (node: NodeProto) => boolean): ReadonlySet<string> {
  const names = new Set<string>();
  const pending = [graph];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const node of next.node) {
      if (isMeant(node)) for (const name of node.input) names.add(name);
      for (const { g } of node.attribute) if (g !== undefined) pending.push(g);
    }
  }
  return names;
}

/** The body of a node of type `op`, whose values get other names where the graphs around it have the same. */
function readBody(outer: Graph, proto: GraphProto, name: string, surroundings: Surroundings, op: string): Graph {
  const body = new Graph(name, outer);
  // The number of the turn and whether there is one, whose shape ONNX Runtime must know of a Loop inside a Scan.
  const counters = op === 'Loop' ? proto.input.slice(0, 2) : [];
  // Other shapes are not taken over: they may change from one step of a loop to the next.
  const describe = (info: ValueInfoProto) => {
    const { dtype, type } = describeValue(body, info);
    return { dtype, type };
  };
  const placement: Placement = {
    input: (info) =>
      body.addInput(body.uniqueName(info.name), counters.includes(info) ? describeValue(body, info) : describe(info)),
    rename: (original) => body.uniqueName(original),
    describe,
  };
  body.outputs.push(...read(body, proto, placement, surroundings));
  body.sort();
  return body;
}

/** No element count of an in-memory tensor goes beyond this. */
const LONGEST = 2n ** 31n - 1n;

/** The declared type and shape of a value. */
export function describeValue(
  graph: Graph,
  { name, type }: ValueInfoProto,
): ValueInfo & { type?: TypeProto | undefined } {
  if (type?.value.case !== 'tensorType') {
    return type === undefined ? {} : { type };
  }
  const { elemType, shape } = type.value.value;
  const dims = shape?.dim.map(({ value }): Dim => {
    if (value.case === 'dimValue' && value.value > LONGEST) {
      throw new OnnxError(
        'invalid-model',
        `'${name}' is declared with the dimension ${value.value}, which no tensor has`,
      );
    }
    // Some exporters write -1 for a dimension they do not know.
    if (value.case === 'dimValue') return value.value < 0n ? graph.unknownDim() : Number(value.value);
    return value.case === 'dimParam' && value.value !== '' ? symbol(value.value) : graph.unknownDim();
  });
  return { dtype: dtypeFromCode(elemType), shape: dims };
}
