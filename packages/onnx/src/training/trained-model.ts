import { create } from '@bufbuild/protobuf';
import { elementCount, sameShape, type NamedTensors, type TensorData } from '@adakit/core';
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema, type TensorProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import type { ParameterSpec } from './graphs.js';

/**
 * The values of initializers. Where alignment allows they are in the memory of the model: copy them before changing
 * them, unless the model is yours to change.
 *
 * @param parameters as an emitted graph of the same model lists them
 */
export function initialParameters(model: Model, parameters: readonly ParameterSpec[]): NamedTensors {
  const byName = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  return Object.fromEntries(
    parameters.map(({ name, dtype, shape }) => {
      const tensor = byName.get(name);
      if (tensor === undefined)
        throw new OnnxError('unknown-parameter', `${model.source} has no initializer '${name}'`);
      const values = Tensor.fromProto(tensor).data as Float32Array | Float64Array;
      return [name, { dtype, shape, data: values }];
    }),
  );
}

/**
 * The original model with new values in some of its initializers: an inference model again, every other field as it
 * was. The original is not modified and shares what did not change; the result refers to the memory of `values`.
 *
 * @throws OnnxError for a value without an initializer of its name, shape and dtype
 */
export function withParameters(model: Model, values: NamedTensors): Model {
  const left = new Map(Object.entries(values));
  const initializer = model.graph.initializer.map((tensor) => {
    const value = left.get(tensor.name);
    left.delete(tensor.name);
    return value === undefined ? tensor : withValue(tensor, value);
  });
  if (left.size > 0) {
    const names = [...left.keys()].map((name) => `'${name}'`).join(', ');
    throw new OnnxError('unknown-parameter', `${model.source} has no initializer ${names} to put trained values in`);
  }
  const graph = Object.assign(create(GraphProtoSchema), model.graph, { initializer });
  return { ...model, graph, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

function withValue(tensor: TensorProto, { dtype, shape, data }: TensorData): TensorProto {
  const dims = tensor.dims.map(Number);
  if (dtypeFromCode(tensor.dataType) !== dtype || !sameShape(dims, shape) || data.length !== elementCount(shape)) {
    throw new OnnxError(
      'invalid-argument',
      `the initializer '${tensor.name}' has shape [${dims.join(', ')}]; it cannot hold ${dtype} [${shape.join(', ')}]`,
    );
  }
  const { name, docString, metadataProps } = tensor;
  const rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return create(TensorProtoSchema, {
    name,
    docString,
    metadataProps,
    dataType: tensor.dataType,
    dims: tensor.dims,
    rawData,
  });
}
