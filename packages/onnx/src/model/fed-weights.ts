import { requireNames, requireObject } from '../given.js';
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
export function withFedWeights(model: Model | ModelProto, names: readonly string[]): ModelProto {
  requireObject('withFedWeights(): model', model);
  requireNames('names', names);
  const { proto, graph } = 'proto' in model ? model : { proto: model, graph: model.graph };
  if (graph === undefined) return proto;
  const fed = new Set(names);
  const inputs = new Set(graph.input.map(({ name }) => name));
  const added = graph.initializer.filter(({ name }) => fed.has(name) && !inputs.has(name)).map(inputOf);
  const changed = Object.assign(create(GraphProtoSchema), graph, {
    input: [...graph.input, ...added],
    initializer: graph.initializer.filter(({ name }) => !fed.has(name)),
  });
  return Object.assign(create(ModelProtoSchema), proto, { graph: changed });
}

function inputOf({ name, dims, dataType }: TensorProto) {
  const dim = dims.map((value) => create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value } }));
  const value = create(TypeProto_TensorSchema, { elemType: dataType, shape: create(TensorShapeProtoSchema, { dim }) });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value } }),
  });
}
