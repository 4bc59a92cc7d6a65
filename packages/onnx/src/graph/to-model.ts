import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TypeProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeCode, type DType } from '../model/dtype.js';
import { IR_VERSION, OPSET, OWN_DOMAIN } from '../model/opset.js';
import { hasUnknown, isStatic, symbolName, type Dim } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import type { Graph } from './graph.js';
import type { Node } from './node.js';
import { FORWARD, nameIn, type Periods } from './periods.js';
import type { Value } from './value.js';

/**
 * A complete model around a graph: target opset, plus the versions of other domains that its nodes use.
 *
 * @param periods of values whose free sizes are to be named after them
 */
export function modelFromGraph(graph: Graph, periods: Periods = new Map()): ModelProto {
  const { domains } = graph;
  const used = domainsOf(graph);
  return create(ModelProtoSchema, {
    irVersion: BigInt(IR_VERSION),
    producerName: 'adakit',
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(OPSET.target) }),
      ...[...used].map((domain) =>
        create(OperatorSetIdProtoSchema, { domain, version: BigInt(domains.get(domain) ?? 1) }),
      ),
    ],
    graph: Object.assign(graphToProto(graph), { valueInfo: freeShapes(graph, periods) }),
  });
}

/** The domains of the nodes of a graph and of the bodies in it, but for the default one. */
function domainsOf({ nodes }: Graph, found = new Set<string>()): ReadonlySet<string> {
  for (const { domain, bodies } of nodes) {
    if (domain !== '') found.add(domain);
    for (const body of bodies.values()) domainsOf(body, found);
  }
  return found;
}

/**
 * The shapes of inner values with free sizes whose names are known. A runtime infers fixed sizes, but of a size after Reshape or
 * Concat only that it is free. ONNX Runtime then uses no such buffer again, and its planner looks through all that are no longer
 * in use at every value: most of the time that a session is made in. Sizes of other periods have other names (`memory/periods.ts`).
 */
function freeShapes({ nodes, outputs }: Graph, periods: Periods): ValueInfoProto[] {
  const declared = new Set<Value | undefined>(outputs);
  /** Many values are of the same one. */
  const types = new Map<string, TypeProto>();
  const typeOf = (dtype: DType, shape: Shape, period: number): TypeProto => {
    const key = `${period} ${dtype} ${shape.join()}`;
    const type = types.get(key) ?? tensorType(dtype, shape, period);
    types.set(key, type);
    return type;
  };
  return nodes
    .flatMap((node) => node.outputs)
    .flatMap((value) => {
      if (value?.dtype === undefined || value.shape === undefined || declared.has(value)) return [];
      const { name, dtype, shape } = value;
      if (shape.every(isStatic) || shape.some(hasUnknown)) return [];
      return [create(ValueInfoProtoSchema, { name, type: typeOf(dtype, shape, periods.get(value) ?? FORWARD) })];
    });
}

/** The protobuf form of a graph, without types of inner values. */
export function graphToProto(graph: Graph): GraphProto {
  return Object.assign(contents(graph), { output: graph.outputs.map((output) => valueInfo(output)) });
}

/** All but the outputs. */
function contents(graph: Graph): GraphProto {
  return create(GraphProtoSchema, {
    name: graph.name,
    input: graph.inputs.map((input) => valueInfo(input)),
    initializer: graph.initializers.flatMap(({ name, tensor }) => tensor?.toProto(name) ?? []),
    node: withUniqueNames(graph.nodes.map(nodeToProto)),
  });
}

/** ONNX Runtime refuses two nodes of one name; the later ones get a number behind. */
function withUniqueNames(nodes: NodeProto[]): NodeProto[] {
  const used = new Set<string>();
  const counts = new Map<string, number>();
  for (const node of nodes) {
    const { name } = node;
    if (name === '') continue;
    for (let count = counts.get(name) ?? 0; used.has(node.name); counts.set(name, count))
      node.name = `${name}_${++count}`;
    used.add(node.name);
  }
  return nodes;
}

function nodeToProto(node: Node): NodeProto {
  if (node.domain === OWN_DOMAIN) {
    throw new OnnxError(
      'unsupported-operator',
      `${node.label}: gradients are written in it, and no runtime has it; lower the graph for a target first (lowerNodes)`,
    );
  }
  // A node read from a file keeps its documentation and metadata.
  return Object.assign(create(NodeProtoSchema), node.source, {
    name: node.name,
    opType: node.op,
    domain: node.domain,
    input: node.inputs.map((input) => input?.name ?? ''),
    output: node.outputs.map((output) => output?.name ?? ''),
    attribute: [...node.attributes.protos(), ...[...node.bodies].map(([name, body]) => bodyToProto(name, body))],
  });
}

/**
 * Of the shapes of what a body returns only the ranks are written, which ONNX Runtime needs and does not always infer: the
 * lengths may differ from step to step.
 */
function bodyToProto(name: string, body: Graph): AttributeProto {
  const returned = ({ name: output, dtype, type, shape }: Value) =>
    dtype === undefined && type === undefined
      ? create(ValueInfoProtoSchema, { name: output })
      : valueInfo({ name: output, dtype, type, shape: shape?.map(() => undefined) });
  const g = Object.assign(contents(body), { output: body.outputs.map(returned) });
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.GRAPH, g });
}

function valueInfo({
  name,
  dtype,
  shape,
  type,
}: Pick<Value, 'name' | 'dtype' | 'type'> & { shape?: readonly (Dim | undefined)[] | undefined }): ValueInfoProto {
  if (type !== undefined) return create(ValueInfoProtoSchema, { name, type });
  if (dtype === undefined) {
    throw new OnnxError(
      'unknown-shape',
      `the element type of '${name}' is unknown, so it cannot be an input or output`,
    );
  }
  return create(ValueInfoProtoSchema, { name, type: tensorType(dtype, shape) });
}

function tensorType(dtype: DType, shape: readonly (Dim | undefined)[] | undefined, period = FORWARD): TypeProto {
  const tensor = create(TypeProto_TensorSchema, { elemType: dtypeCode(dtype) });
  if (shape !== undefined) {
    tensor.shape = create(TensorShapeProtoSchema, { dim: shape.map((dim) => dimension(dim, period)) });
  }
  return create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } });
}

function dimension(dim: Dim | undefined, period: number) {
  if (dim !== undefined && isStatic(dim)) {
    return create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(dim) } });
  }
  // A dimension without a name is left open.
  if (dim === undefined || hasUnknown(dim)) return create(TensorShapeProto_DimensionSchema);
  return create(TensorShapeProto_DimensionSchema, {
    value: { case: 'dimParam', value: nameIn(symbolName(dim) ?? String(dim), period) },
  });
}
