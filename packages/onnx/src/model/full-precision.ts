import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type GraphProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { dtypeCode, dtypeFromCode } from './dtype.js';
import { widen } from './weights.js';

/**
 * A graph that computes in float32 what it computed in half precision (float16, bfloat16), its inputs and outputs
 * included: gradients in half precision underflow, and updates smaller than a thousandth of a weight are lost. Only
 * where weights are used in half precision, or an input or output is bfloat16, of which JavaScript has no tensors; the graph
 * itself otherwise.
 */
export function inFullPrecision(graph: GraphProto): GraphProto {
  const isNeeded = graph.initializer.some(isHalf) || [...graph.input, ...graph.output].some(isBfloat16);
  return isNeeded ? rewrite(graph) : graph;
}

function isBfloat16({ type }: ValueInfoProto): boolean {
  return type?.value.case === 'tensorType' && dtypeFromCode(type.value.value.elemType) === 'bfloat16';
}

function isHalf({ dataType, dims, dataLocation }: TensorProto): boolean {
  return (
    isHalfCode(dataType) &&
    dataLocation !== TensorProto_DataLocation.EXTERNAL &&
    dims.reduce((size, dim) => size * dim, 1n) > 1n
  );
}

export function isHalfCode(code: number): boolean {
  const dtype = dtypeFromCode(code);
  return dtype === 'float16' || dtype === 'bfloat16';
}

function rewrite(graph: GraphProto): GraphProto {
  return Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.map(declared),
    output: graph.output.map(declared),
    valueInfo: graph.valueInfo.map(declared),
    initializer: graph.initializer.map(widened),
    node: graph.node.map((node) =>
      node.attribute.some(concerns)
        ? Object.assign(create(NodeProtoSchema), node, { attribute: node.attribute.map(rewritten) })
        : node,
    ),
  });
}

function widened(tensor: TensorProto): TensorProto {
  return isHalfCode(tensor.dataType) && tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL
    ? widen(tensor)
    : tensor;
}

/** Attributes that name the type of an output: of Cast, and of what makes tensors of nothing or of integers. */
export const TYPE_ATTRIBUTES: ReadonlySet<string> = new Set(['to', 'dtype', 'output_dtype', 'output_datatype']);

function concerns({ name, t, g, i, type }: AttributeProto): boolean {
  if (t !== undefined) return isHalfCode(t.dataType);
  return g !== undefined || namesHalf(name, type, i);
}

function namesHalf(name: string, type: AttributeProto_AttributeType, i: bigint): boolean {
  return type === AttributeProto_AttributeType.INT && TYPE_ATTRIBUTES.has(name) && isHalfCode(Number(i));
}

function rewritten(attribute: AttributeProto): AttributeProto {
  const { name, t, g, i, type } = attribute;
  return Object.assign(create(AttributeProtoSchema), attribute, {
    ...(t === undefined ? {} : { t: widened(t) }),
    ...(g === undefined ? {} : { g: rewrite(g) }),
    ...(namesHalf(name, type, i) ? { i: BigInt(dtypeCode('float32')) } : {}),
  });
}

function declared(info: ValueInfoProto): ValueInfoProto {
  const { type } = info;
  if (type?.value.case !== 'tensorType' || !isHalfCode(type.value.value.elemType)) return info;
  const value = Object.assign(create(TypeProto_TensorSchema), type.value.value, { elemType: dtypeCode('float32') });
  return Object.assign(create(ValueInfoProtoSchema), info, {
    type: Object.assign(create(TypeProtoSchema), type, { value: { case: 'tensorType', value } }),
  });
}
