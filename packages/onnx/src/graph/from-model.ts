import type { GraphProto, TypeProto, ValueInfoProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
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
  const graph = new Graph(model.graph.name === '' ? 'graph' : model.graph.name);
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
export function readIntoGraph(graph: Graph, model: Model, { input, rename, describe }: Placement): readonly Value[] {
  const proto = model.graph;
  const fail = (what: string) => new OnnxError('invalid-model', `${model.source}: ${what}`);
  if (proto.sparseInitializer.length > 0) {
    const name = proto.sparseInitializer[0].values?.name ?? '';
    throw fail(`the sparse initializer '${name}' is not supported; store it as a dense tensor`);
  }
  /** By the names in the file. */
  const values = new Map<string, Value>();
  const define = (name: string, add: (name: string) => Value): Value => {
    if (values.has(name)) throw fail(`the name '${name}' is defined twice in graph '${proto.name}'`);
    const value = add(rename(name));
    values.set(name, value);
    return value;
  };
  const constants = new Set(proto.initializer.map(({ name }) => name));
  for (const info of proto.input) if (!constants.has(info.name)) define(info.name, () => input(info));
  for (const tensor of proto.initializer) {
    define(tensor.name, (name) => graph.addInitializer(name, Tensor.fromProto(tensor)));
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
  const label = (index: number) => `${proto.node[index].opType} node '${proto.node[index].name}'`;
  proto.node.forEach((source, index) => {
    const inputs = source.input.map((name) => {
      if (name === '') return undefined;
      const value = values.get(name);
      if (value === undefined) throw fail(`${label(index)} reads '${name}', which nothing defines`);
      return value;
    });
    const captured = new Set<string>();
    for (const { g, graphs } of source.attribute) {
      for (const body of g === undefined ? graphs : [g, ...graphs]) collectFreeNames(body, captured);
    }
    const captures = [...captured].flatMap((name) => values.get(name) ?? []);
    graph.addNode(
      new Node({
        name: source.name === '' ? `${source.opType}_${index}` : source.name,
        op: source.opType,
        domain: source.domain === 'ai.onnx' ? '' : source.domain,
        inputs,
        outputs: outputs[index],
        attributes: source.attribute,
        captures,
        source,
      }),
    );
  });
  return proto.output.map(({ name }) => {
    const value = values.get(name);
    if (value === undefined) throw fail(`nothing computes the graph output '${name}'`);
    return value;
  });
}

/** Names that a subgraph, or one nested in it, uses without defining them. */
function collectFreeNames(body: GraphProto, free: Set<string>): void {
  const own = new Set<string>([...body.input, ...body.initializer].map(({ name }) => name));
  for (const node of body.node) for (const name of node.output) own.add(name);
  const used = new Set<string>(body.output.map(({ name }) => name));
  for (const node of body.node) {
    for (const name of node.input) used.add(name);
    for (const { g, graphs } of node.attribute) {
      for (const inner of g === undefined ? graphs : [g, ...graphs]) collectFreeNames(inner, used);
    }
  }
  for (const name of used) if (name !== '' && !own.has(name)) free.add(name);
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
