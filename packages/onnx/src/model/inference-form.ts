import { requireModel } from '../given.js';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  type GraphProto,
  type NodeProto,
} from 'onnx-buf';
import type { Model } from './model.js';

/**
 * The model with its Dropout and BatchNormalization nodes in inference form, whatever form they were exported in, those in
 * bodies included; running statistics that the model has use of are those stored. A normalization stays as it is where what it
 * computes them from is not stored, and where it normalizes weights by their own statistics, which it does in inference, too.
 * The model itself when there is nothing to do.
 */
export function inferenceForm(model: Model): Model {
  requireModel('inferenceForm()', model);
  const graph = inInferenceForm(model.graph, new Set());
  if (graph === model.graph) return model;
  return { ...model, graph, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

/** @param constant values of the graphs around that are weights or computed from weights alone */
function inInferenceForm(graph: GraphProto, constant: ReadonlySet<string>): GraphProto {
  const used = new Set(graph.output.map(({ name }) => name));
  for (const node of graph.node) for (const name of namesUsed(node)) used.add(name);
  const constants = new Set(constant);
  for (const { name } of graph.input) constants.delete(name);
  for (const { name } of graph.initializer) constants.add(name);
  for (const { name } of graph.sparseInitializer.flatMap(({ values }) => values ?? [])) constants.add(name);
  // Nodes come in an order in which they can be computed.
  for (const node of graph.node) {
    const known = namesUsed(node).every((name) => name === '' || constants.has(name));
    for (const name of node.output) if (known) constants.add(name);
  }
  const nodes = graph.node.flatMap((node) => toInference(node, used, constants));
  if (nodes.every((node, i) => node === graph.node[i])) return graph;
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  /** What no node computes or uses any more. */
  const gone = new Set(graph.node.flatMap(({ output }) => output));
  for (const name of nodes.flatMap(({ output }) => output)) gone.delete(name);
  const left = new Set([...graph.output.map(({ name }) => name), ...nodes.flatMap(namesUsed)]);
  for (const name of used) if (!left.has(name)) gone.add(name);
  return Object.assign(create(GraphProtoSchema), graph, {
    node: nodes.filter(({ opType, output }) => opType !== 'Constant' || !gone.has(output[0])),
    initializer: graph.initializer.filter(({ name }) => !gone.has(name)),
    input: graph.input.filter(({ name }) => !gone.has(name) || !initializers.has(name)),
    valueInfo: graph.valueInfo.filter(({ name }) => !gone.has(name)),
  });
}

function toInference(node: NodeProto, used: ReadonlySet<string>, constants: ReadonlySet<string>): NodeProto[] {
  const bodies = node.attribute.map((attribute) => {
    const { g } = attribute;
    const changed = g === undefined ? g : inInferenceForm(g, constants);
    return changed === g ? attribute : Object.assign(create(AttributeProtoSchema), attribute, { g: changed });
  });
  if (bodies.some((attribute, i) => attribute !== node.attribute[i])) {
    return [Object.assign(create(NodeProtoSchema), node, { attribute: bodies })];
  }
  if (node.domain !== '' && node.domain !== 'ai.onnx') return [node];
  if (node.opType === 'Dropout' && node.input.length > 2) {
    return [Object.assign(create(NodeProtoSchema), node, { input: node.input.slice(0, 2) })];
  }
  const trains = node.attribute.some(({ name, i }) => name === 'training_mode' && i === 1n);
  if (node.opType !== 'BatchNormalization' || !trains || constants.has(node.input[0])) return [node];
  const [output, ...running] = node.output;
  const results = running
    .map((name, i) => ({ name, stored: node.input[3 + i] }))
    .filter(({ name }) => name !== '' && used.has(name));
  if (!results.every(({ stored }) => constants.has(stored))) return [node];
  return [
    Object.assign(create(NodeProtoSchema), node, {
      output: [output],
      attribute: node.attribute.filter(({ name }) => name !== 'training_mode'),
    }),
    ...results.map(({ name, stored }) =>
      create(NodeProtoSchema, { name, opType: 'Identity', input: [stored], output: [name] }),
    ),
  ];
}

/** Inputs of a node and names that its bodies use, their own ones among them. */
function namesUsed({ input, attribute }: NodeProto): string[] {
  const inner = attribute.flatMap(({ g }) =>
    g === undefined ? [] : [...g.node.flatMap(namesUsed), ...g.output.map(({ name }) => name)],
  );
  return [...input, ...inner];
}
