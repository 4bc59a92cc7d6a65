import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireModel } from '../given.js';
import { dtypeCode, dtypeFromCode, type DType } from './dtype.js';
import { isHalfCode, TYPE_ATTRIBUTES } from './full-precision.js';
import { floatToBfloat16, floatToHalf } from './half.js';
import type { Model } from './model.js';
import { Tensor } from './tensor.js';

/** The element types of a file that a model computes wider than. */
export interface WrittenTypes {
  /** The graph with these types, without the values of its weights. */
  readonly graph: GraphProto;
  /** What edits add in float32 has this type in the file, if any: that of most weights. */
  readonly added: DType | undefined;
}

/** @param throughout whether the file computes in half precision, and does not only keep weights in it */
export function writtenTypes(graph: GraphProto, throughout: boolean): WrittenTypes {
  const initializer = graph.initializer.map(({ name, dataType, dims }) =>
    create(TensorProtoSchema, { name, dataType, dims }),
  );
  const largest = graph.initializer
    .filter(({ dataType }) => isHalfCode(dataType))
    .map(({ dataType, dims }) => ({ dataType, size: dims.reduce((size, dim) => size * dim, 1n) }))
    .sort((a, b) => (a.size < b.size ? 1 : -1))
    .at(0);
  // Without weights, what goes in and out has the type.
  const code = largest?.dataType ?? [...codesOf(graph).values()].find(isHalfCode);
  return {
    graph: Object.assign(create(GraphProtoSchema), graph, { initializer }),
    added: throughout && code !== undefined ? dtypeFromCode(code) : undefined,
  };
}

/** The element types in the file, by the names of values. */
export function dtypesOf(written: WrittenTypes | undefined): ReadonlyMap<string, DType> {
  const codes = written === undefined ? new Map<string, number>() : codesOf(written.graph);
  return new Map(
    [...codes].flatMap(([name, code]) => {
      const dtype = dtypeFromCode(code);
      return dtype === undefined ? [] : [[name, dtype] as const];
    }),
  );
}

/**
 * The model with the element types of its file again: weights are rounded to half precision where the file has them in it,
 * and inputs and outputs are what they were. The model itself where it computes as the file does.
 *
 * @throws {OnnxError} `invalid-argument` for a weight that is beyond half precision
 */
export function asWritten(model: Model): Model {
  requireModel('asWritten()', model);
  const { written, ...rest } = model;
  if (written === undefined) return model;
  const graph = narrowed(model.graph, written.graph, written.added);
  return { ...rest, graph, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

function codesOf({ initializer, input, output, valueInfo }: GraphProto): ReadonlyMap<string, number> {
  const codes = new Map<string, number>();
  for (const { name, type } of [...valueInfo, ...output, ...input]) {
    if (type?.value.case === 'tensorType') codes.set(name, type.value.value.elemType);
  }
  for (const { name, dataType } of initializer) codes.set(name, dataType);
  return codes;
}

/** @param written the graph of the file; none for what an edit has added */
function narrowed(graph: GraphProto, written: GraphProto | undefined, added: DType | undefined): GraphProto {
  const codes = written === undefined ? new Map<string, number>() : codesOf(written);
  const typed = (name: string): DType | undefined => {
    const code = codes.get(name);
    return code === undefined ? added : dtypeFromCode(code);
  };
  const nodes = new Map(written?.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const declare = (info: ValueInfoProto) => declared(info, typed(info.name));
  return Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.map(declare),
    output: graph.output.map(declare),
    valueInfo: graph.valueInfo.map(declare),
    initializer: graph.initializer.map((tensor) => rounded(tensor, typed(tensor.name))),
    node: graph.node.map((node) => {
      const original = node.output.map((name) => nodes.get(name)).find((each) => each !== undefined);
      return withTypes(node, original, added);
    }),
  });
}

function withTypes(node: NodeProto, original: NodeProto | undefined, added: DType | undefined): NodeProto {
  if (node.attribute.length === 0) return node;
  const attribute = node.attribute.map((each) => {
    const before = original?.attribute.find(({ name }) => name === each.name);
    return withType(each, before, original === undefined ? added : undefined);
  });
  return Object.assign(create(NodeProtoSchema), node, { attribute });
}

function withType(
  attribute: AttributeProto,
  before: AttributeProto | undefined,
  added: DType | undefined,
): AttributeProto {
  const { name, t, g, i } = attribute;
  const changes: { t?: TensorProto; g?: GraphProto; i?: bigint } = {};
  if (t !== undefined) changes.t = rounded(t, before?.t === undefined ? added : dtypeFromCode(before.t.dataType));
  if (g !== undefined) changes.g = narrowed(g, before?.g, added);
  if (TYPE_ATTRIBUTES.has(name) && dtypeFromCode(Number(i)) === 'float32') {
    const code = before === undefined ? added && dtypeCode(added) : Number(before.i);
    if (code !== undefined && isHalfCode(code)) changes.i = BigInt(code);
  }
  return Object.keys(changes).length === 0
    ? attribute
    : Object.assign(create(AttributeProtoSchema), attribute, changes);
}

function declared(info: ValueInfoProto, dtype: DType | undefined): ValueInfoProto {
  const { type } = info;
  if (!isHalf(dtype) || type?.value.case !== 'tensorType' || dtypeFromCode(type.value.value.elemType) !== 'float32') {
    return info;
  }
  const value = Object.assign(create(TypeProto_TensorSchema), type.value.value, { elemType: dtypeCode(dtype) });
  return Object.assign(create(ValueInfoProtoSchema), info, {
    type: Object.assign(create(TypeProtoSchema), type, { value: { case: 'tensorType', value } }),
  });
}

function rounded(proto: TensorProto, dtype: DType | undefined): TensorProto {
  if (!isHalf(dtype) || dtypeFromCode(proto.dataType) !== 'float32') return proto;
  const toBits = dtype === 'float16' ? floatToHalf : floatToBfloat16;
  const { data } = Tensor.fromProto(proto);
  const bits = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i]);
    bits[i] = toBits(value);
    if ((bits[i] & 0x7fff) === INFINITE[dtype] && Number.isFinite(value)) {
      throw new OnnxError(
        'invalid-argument',
        `'${proto.name}' holds ${value}, which is beyond ${dtype}, the type that the file has it in; ` +
          "export with precision: 'float32'",
      );
    }
  }
  const { dims, name, docString, metadataProps } = proto;
  const rawData = new Uint8Array(bits.buffer);
  return create(TensorProtoSchema, { dims, name, docString, metadataProps, dataType: dtypeCode(dtype), rawData });
}

/** The bits of infinity. */
const INFINITE = { float16: 0x7c00, bfloat16: 0x7f80 } as const;

function isHalf(dtype: DType | undefined): dtype is 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16';
}
