import { kinds } from '@adakit/core';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorShapeProto_Dimension,
  type ValueInfoProto,
} from 'onnx-buf';
import { didYouMean, OnnxError } from '../error.js';
import { requireModel, requireOptions } from '../given.js';
import { dtypeFromCode, isDifferentiable } from './dtype.js';
import type { Model } from './model.js';
import { Tensor } from './tensor.js';

/** What {@link specialize} fixes. */
export interface Specialization {
  /** Sizes of free dimensions, by the name of the dimension or as `input[axis]`. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Inputs that always have the same value, a sampling rate say. They need not be given any more. */
  readonly inputs?: Readonly<Record<string, Tensor>>;
}

/**
 * A model for fewer cases: free dimensions at fixed sizes, inputs at fixed values. What depended on them becomes
 * known, so that branches that are never taken disappear and shapes that could not be known are. The model given is
 * not changed. What is exported after training has its free dimensions again, and fixed inputs as defaults.
 *
 * @throws {OnnxError} `invalid-argument` for a name that the model does not have, a size that is none, and a value of
 * another dtype or shape than the input
 */
export function specialize(model: Model, options: Specialization): Model {
  requireModel('specialize()', model);
  requireOptions('specialize()', options, {
    dims: kinds.object,
    inputs: kinds.record(
      'tensors by name',
      kinds.kind('a tensor', (value) => value instanceof Tensor),
    ),
  });
  const { dims = {}, inputs = {} } = options;
  const sizes = { ...model.sizes, ...dims };
  withSizes(model, sizes);
  const graph = fixInputs(model.graph, inputs, model.source);
  if (graph === model.graph) return Object.keys(dims).length === 0 ? model : { ...model, sizes };
  return { ...model, graph, sizes, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

function fixInputs(graph: GraphProto, values: Readonly<Record<string, Tensor>>, source: string): GraphProto {
  const entries = Object.entries(values);
  if (entries.length === 0) return graph;
  const weights = new Set(graph.initializer.map(({ name }) => name));
  const inputs = new Map(graph.input.filter(({ name }) => !weights.has(name)).map((info) => [info.name, info]));
  for (const [name, tensor] of entries) {
    requireFit(inputs.get(name) ?? unknown(source, 'input', name, [...inputs.keys()]), tensor);
  }
  // Integers become defaults of inputs that nobody need feed: known here, but not to ONNX Runtime, which crashes on some
  // models (1.30, bodies within bodies) when it finds out that a condition is constant.
  const defaults = entries.filter(([, { dtype }]) => !isDifferentiable(dtype));
  const constants = entries.filter(([, { dtype }]) => isDifferentiable(dtype));
  const isConstant = new Set(constants.map(([name]) => name));
  return Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.filter(({ name }) => !isConstant.has(name)),
    initializer: [...graph.initializer, ...defaults.map(([name, tensor]) => tensor.toProto(name))],
    node: [...constants.map(([name, tensor]) => constantNode(name, tensor)), ...graph.node],
  });
}

function constantNode(name: string, tensor: Tensor): NodeProto {
  const type = AttributeProto_AttributeType.TENSOR;
  const value = create(AttributeProtoSchema, { name: 'value', type, t: tensor.toProto(name) });
  return create(NodeProtoSchema, { opType: 'Constant', name: `fixed ${name}`, output: [name], attribute: [value] });
}

function requireFit({ name, type }: ValueInfoProto, tensor: Tensor): void {
  if (type?.value.case !== 'tensorType') return;
  const { elemType, shape } = type.value.value;
  const dtype = dtypeFromCode(elemType);
  if (dtype !== tensor.dtype) {
    throw new OnnxError(
      'invalid-argument',
      `the input '${name}' is ${dtype ?? 'of no known type'}, not ${tensor.dtype}`,
    );
  }
  const declared = shape?.dim.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : undefined));
  if (declared === undefined) return;
  if (declared.length === tensor.dims.length && declared.every((dim, i) => dim === undefined || dim === tensor.dims[i]))
    return;
  throw new OnnxError(
    'invalid-argument',
    `the input '${name}' has shape [${declared.map((dim) => dim ?? 'any').join(', ')}], not [${tensor.dims.join(', ')}]`,
  );
}

/**
 * The graph of a model with the dimensions fixed that are to be: what graphs for training are derived from. The model
 * itself keeps them free, for its own shape inference need not cope with more being known than its exporter knew.
 */
export function withSizes(
  { graph, source, sizes: given }: Model,
  sizes: Readonly<Record<string, number>> = given ?? {},
): GraphProto {
  const names = Object.keys(sizes);
  if (names.length === 0) return graph;
  for (const name of names) {
    if (!Number.isInteger(sizes[name]) || sizes[name] < 1) {
      throw new OnnxError(
        'invalid-argument',
        `the dimension '${name}' cannot be ${sizes[name]}; give a size of 1 or more`,
      );
    }
  }
  const places = new Map<string, TensorShapeProto_Dimension>(
    graph.input.flatMap((info) => dimsOf(info).map((dim, axis) => [`${info.name}[${axis}]`, dim] as const)),
  );
  const byName = new Map<string, number>();
  const byPlace = new Map<string, number>();
  for (const name of names) {
    const dim = places.get(name);
    if (dim?.value.case === 'dimValue' && dim.value.value !== BigInt(sizes[name])) {
      throw new OnnxError(
        'invalid-argument',
        `'${name}' is ${dim.value.value} in the model; it cannot be ${sizes[name]}`,
      );
    }
    // The same dimension elsewhere has the same size.
    if (dim?.value.case === 'dimParam' && dim.value.value !== '') byName.set(dim.value.value, sizes[name]);
    else if (dim !== undefined) byPlace.set(name, sizes[name]);
    else byName.set(name, sizes[name]);
  }
  const known = new Set([...places.values()].flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : [])));
  for (const name of byName.keys()) {
    if (!known.has(name)) unknown(source, 'free dimension', name, [...known, ...places.keys()]);
  }
  const fix = (info: ValueInfoProto): ValueInfoProto =>
    withDims(info, (dim, axis) =>
      dim.value.case === 'dimParam' && byName.has(dim.value.value)
        ? byName.get(dim.value.value)
        : byPlace.get(`${info.name}[${axis}]`),
    );
  return Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.map(fix),
    output: graph.output.map(fix),
    valueInfo: graph.valueInfo.map(fix),
  });
}

function dimsOf({ type }: ValueInfoProto): readonly TensorShapeProto_Dimension[] {
  return type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
}

function withDims(
  info: ValueInfoProto,
  sizeOf: (dim: TensorShapeProto_Dimension, axis: number) => number | undefined,
): ValueInfoProto {
  const { type } = info;
  const dims = dimsOf(info);
  if (type?.value.case !== 'tensorType' || dims.every((dim, axis) => sizeOf(dim, axis) === undefined)) return info;
  const dim = dims.map((each, axis) => {
    const size = sizeOf(each, axis);
    return size === undefined
      ? each
      : create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(size) } });
  });
  const value = Object.assign(create(TypeProto_TensorSchema), type.value.value, {
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return Object.assign(create(ValueInfoProtoSchema), info, {
    type: Object.assign(create(TypeProtoSchema), type, { value: { case: 'tensorType', value } }),
  });
}

function unknown(source: string, what: string, name: string, names: readonly string[]): never {
  throw new OnnxError(
    'invalid-argument',
    `${source} has no ${what} '${name}'${didYouMean(name, names)}` +
      `; there ${names.length === 0 ? 'is none' : `are ${names.map((each) => `'${each}'`).join(', ')}`}`,
  );
}
