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
  const proto = model.graph;
  const graph = new Graph(proto.name === '' ? 'graph' : proto.name);
  const fail = (what: string) => new OnnxError('invalid-model', `${model.source}: ${what}`);
  if (proto.sparseInitializer.length > 0) {
    const name = proto.sparseInitializer[0].values?.name ?? '';
    throw fail(`the sparse initializer '${name}' is not supported; store it as a dense tensor`);
  }
  const constants = new Set(proto.initializer.map(({ name }) => name));
  for (const input of proto.input) {
    if (!constants.has(input.name)) graph.addInput(input.name, describe(graph, input));
  }
  for (const tensor of proto.initializer) graph.addInitializer(tensor.name, Tensor.fromProto(tensor));

  const recorded = new Map([...proto.valueInfo, ...proto.output].map((info) => [info.name, info]));
  const define = (name: string): Value | undefined => {
    if (name === '') return undefined;
    const info = recorded.get(name);
    return graph.addValue(name, info === undefined ? {} : describe(graph, info));
  };
  // All outputs are defined before any input is looked up: files need not list nodes in order.
  const outputs = proto.node.map((node) => node.output.map(define));
  const label = (index: number) => `${proto.node[index].opType} node '${proto.node[index].name}'`;
  proto.node.forEach((source, index) => {
    const inputs = source.input.map((name) => {
      if (name === '') return undefined;
      const value = graph.value(name);
      if (value === undefined) throw fail(`${label(index)} reads '${name}', which nothing defines`);
      return value;
    });
    const captured = new Set<string>();
    for (const { g, graphs } of source.attribute) {
      for (const body of g === undefined ? graphs : [g, ...graphs]) collectFreeNames(body, captured);
    }
    const captures = [...captured].flatMap((name) => graph.value(name) ?? []);
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
  for (const { name } of proto.output) {
    const value = graph.value(name);
    if (value === undefined) throw fail(`nothing computes the graph output '${name}'`);
    graph.outputs.push(value);
  }
  graph.sort();
  return graph;
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

function describe(graph: Graph, { name, type }: ValueInfoProto): ValueInfo & { type?: TypeProto | undefined } {
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
