import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { dtypeCode, dtypeFromCode, isDifferentiable } from './dtype.js';
import { Tensor } from './tensor.js';

/**
 * A graph whose weights are initializers: float tensors with several elements that Constant nodes hold become
 * initializers named after the output. Single numbers stay constants. The graph itself when there is nothing to do.
 */
export function liftConstants(graph: GraphProto): GraphProto {
  const lifted = new Map<NodeProto, TensorProto>();
  for (const node of graph.node) {
    const tensor = weightOf(node);
    if (tensor !== undefined) lifted.set(node, tensor);
  }
  if (lifted.size === 0) return graph;
  return Object.assign(create(GraphProtoSchema), graph, {
    node: graph.node.filter((node) => !lifted.has(node)),
    initializer: [...graph.initializer, ...lifted.values()],
  });
}

function weightOf({ opType, domain, attribute, output }: NodeProto): TensorProto | undefined {
  if (opType !== 'Constant' || (domain !== '' && domain !== 'ai.onnx') || attribute.length !== 1) return undefined;
  const [{ name, t, floats }] = attribute;
  if (name === 'value_floats' && floats.length > 1) {
    return Tensor.of('float32', [floats.length], Float32Array.from(floats)).toProto(output[0]);
  }
  if (name !== 'value' || t === undefined || !isDifferentiable(dtypeFromCode(t.dataType))) return undefined;
  return t.dims.reduce((size, dim) => size * dim, 1n) > 1n
    ? Object.assign(create(TensorProtoSchema), t, { name: output[0] })
    : undefined;
}

/**
 * A graph whose half-precision weights can be trained in float32: float16 and bfloat16 initializers of which nothing
 * but casts to a wider type is used are stored in float32, which holds the same numbers. The graph itself when there are none.
 */
export function widenWeights(graph: GraphProto): GraphProto {
  const halves = new Map(
    graph.initializer.flatMap((tensor) => {
      const dtype = dtypeFromCode(tensor.dataType);
      if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL) return [];
      return dtype === 'float16' || dtype === 'bfloat16' ? [[tensor.name, tensor] as const] : [];
    }),
  );
  if (halves.size === 0) return graph;
  for (const { name } of [...graph.input, ...graph.output]) halves.delete(name);
  for (const node of graph.node) {
    if (!isWideningCast(node)) for (const name of node.input) halves.delete(name);
    // Subgraphs use values by name only; none of these is touched.
    for (const { g, graphs } of node.attribute) for (const body of g ? [g, ...graphs] : graphs) forget(body, halves);
  }
  if (halves.size === 0) return graph;
  return Object.assign(create(GraphProtoSchema), graph, {
    initializer: graph.initializer.map((tensor) => (halves.has(tensor.name) ? widen(tensor) : tensor)),
    valueInfo: graph.valueInfo.filter(({ name }) => !halves.has(name)),
  });
}

function forget(body: GraphProto, names: Map<string, unknown>): void {
  for (const { name } of body.output) names.delete(name);
  for (const { input, attribute } of body.node) {
    for (const name of input) names.delete(name);
    for (const { g, graphs } of attribute) for (const inner of g ? [g, ...graphs] : graphs) forget(inner, names);
  }
}

function isWideningCast({ opType, domain, attribute }: NodeProto): boolean {
  if (opType !== 'Cast' || domain !== '') return false;
  const to = dtypeFromCode(Number(attribute.find(({ name }) => name === 'to')?.i ?? 0));
  return to === 'float32' || to === 'float64';
}

function widen(proto: TensorProto): TensorProto {
  const tensor = Tensor.fromProto(proto);
  const toFloat = tensor.dtype === 'float16' ? halfToFloat : bfloat16ToFloat;
  const data = Float32Array.from(tensor.data as Uint16Array, toFloat);
  const { dims, name, docString, metadataProps } = proto;
  const rawData = new Uint8Array(data.buffer);
  return create(TensorProtoSchema, { dims, name, docString, metadataProps, dataType: dtypeCode('float32'), rawData });
}

/** IEEE 754 binary16: a sign, 5 bits of exponent (bias 15), 10 of fraction. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** The upper half of a float32. */
function bfloat16ToFloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}
