import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema,
  type GraphProto,
  type ModelProto,
} from 'onnx-buf';

/**
 * A model that computes what the first nodes of a graph do, up to the last one's outputs; with none of them it copies an
 * input, as ONNX Runtime takes no graph without nodes.
 *
 * @param model its nodes come in order
 */
export function firstNodes(model: ModelProto, count: number): ModelProto {
  const { graph } = model;
  if (graph === undefined) return model;
  const node = count === 0 ? [copyOfInput(graph)] : graph.node.slice(0, count);
  const names = node.at(-1)?.output.filter((name) => name !== '') ?? [];
  // Their types are inferred.
  const output = names.map((name) => create(ValueInfoProtoSchema, { name }));
  const shortened = Object.assign(create(GraphProtoSchema), graph, { node, output });
  return Object.assign(create(ModelProtoSchema), model, { graph: shortened });
}

function copyOfInput({ input, node }: GraphProto) {
  const used = new Set(node.flatMap(({ output }) => output));
  let output = 'copy';
  while (used.has(output)) output += '_';
  return create(NodeProtoSchema, { opType: 'Identity', input: [input[0].name], output: [output] });
}
