import { create } from '@bufbuild/protobuf';
import { AttributeProto_AttributeType, AttributeProtoSchema, type GraphProto, type NodeProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import type { Graph } from './graph.js';
import { Node } from './node.js';
import type { Value } from './value.js';

/**
 * The nodes of a subgraph without inputs as nodes of the graph around it, in order and not yet added, and the values it
 * outputs. Inner values get names of their own; constants of the subgraph become Constant nodes.
 */
export function inlinedNodes(
  graph: Graph,
  body: GraphProto,
  prefix: string,
): { readonly nodes: readonly Node[]; readonly outputs: readonly Value[] } {
  const fail = (what: string) => new OnnxError('invalid-model', `the subgraph '${body.name}' of '${prefix}' ${what}`);
  if (body.input.length > 0) throw fail('has inputs where none are expected');
  if (body.sparseInitializer.length > 0) throw fail('has sparse initializers, which are not supported');
  const inner = new Map<string, Value>();
  const define = (name: string) => {
    if (name === '') return undefined;
    if (inner.has(name)) throw fail(`defines '${name}' twice`);
    const value = graph.addValue(graph.uniqueName(`${prefix}/${name}`));
    inner.set(name, value);
    return value;
  };
  const find = (name: string): Value => {
    const value = inner.get(name) ?? graph.value(name);
    if (value === undefined) throw fail(`uses '${name}', which nothing defines`);
    return value;
  };
  const constants = body.initializer.map((tensor) => {
    const value = create(AttributeProtoSchema, { name: 'value', type: AttributeProto_AttributeType.TENSOR, t: tensor });
    return new Node({
      name: `${prefix}/${tensor.name}`,
      op: 'Constant',
      inputs: [],
      outputs: [define(tensor.name)],
      attributes: [value],
    });
  });
  const outputs = body.node.map((node) => node.output.map(define));
  const nodes = body.node.map((source, i) => {
    if (source.attribute.some(hasBody)) throw fail('has subgraphs of its own, which is not supported');
    return new Node({
      name: `${prefix}/${source.name === '' ? `${source.opType}_${i}` : source.name}`,
      op: source.opType,
      domain: source.domain === 'ai.onnx' ? '' : source.domain,
      inputs: source.input.map((name) => (name === '' ? undefined : find(name))),
      outputs: outputs[i],
      attributes: source.attribute,
      source,
    });
  });
  return { nodes: [...constants, ...nodes], outputs: body.output.map(({ name }) => find(name)) };
}

const hasBody = ({ g, graphs }: NodeProto['attribute'][number]) => g !== undefined || graphs.length > 0;
