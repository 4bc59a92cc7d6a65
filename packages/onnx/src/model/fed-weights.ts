import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type ModelProto,
  type TensorProto,
} from 'onnx-buf';
import type { Model } from './model.js';

/** The model as it is, except that the named initializers are inputs, which have to be fed. */
export function withFedWeights(model: Model, names: readonly string[]): ModelProto {
  const fed = new Set(names);
  const inputs = new Set(model.graph.input.map(({ name }) => name));
  const added = model.graph.initializer.filter(({ name }) => fed.has(name) && !inputs.has(name)).map(inputOf);
  const graph = Object.assign(create(GraphProtoSchema), model.graph, {
    input: [...model.graph.input, ...added],
    initializer: model.graph.initializer.filter(({ name }) => !fed.has(name)),
  });
  return Object.assign(create(ModelProtoSchema), model.proto, { graph });
}

function inputOf({ name, dims, dataType }: TensorProto) {
  const dim = dims.map((value) => create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value } }));
  const value = create(TypeProto_TensorSchema, { elemType: dataType, shape: create(TensorShapeProtoSchema, { dim }) });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value } }),
  });
}
