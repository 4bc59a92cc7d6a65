import { create } from '@bufbuild/protobuf';
import { GraphProtoSchema, ModelProtoSchema, NodeProtoSchema, type NodeProto } from 'onnx-buf';
import type { Model } from './model.js';

/**
 * The model with its Dropout and BatchNormalization nodes in inference form, for a runtime that takes the form they were
 * exported in. A normalization stays as it is where its running statistics are results. Bodies are left alone.
 */
export function inferenceForm(model: Model): Model {
  const used = new Set(model.graph.output.map(({ name }) => name));
  for (const { input } of model.graph.node) for (const name of input) used.add(name);
  const node = model.graph.node.map((each) => toInference(each, used));
  if (node.every((each, i) => each === model.graph.node[i])) return model;
  const graph = Object.assign(create(GraphProtoSchema), model.graph, { node });
  return { ...model, graph, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

function toInference(node: NodeProto, used: ReadonlySet<string>): NodeProto {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return node;
  if (node.opType === 'Dropout' && node.input.length > 2) {
    return Object.assign(create(NodeProtoSchema), node, { input: node.input.slice(0, 2) });
  }
  const trains = node.attribute.some(({ name, i }) => name === 'training_mode' && i === 1n);
  if (node.opType !== 'BatchNormalization' || !trains) return node;
  if (node.output.slice(1).some((name) => used.has(name))) return node;
  return Object.assign(create(NodeProtoSchema), node, {
    output: node.output.slice(0, 1),
    attribute: node.attribute.filter(({ name }) => name !== 'training_mode'),
  });
}
