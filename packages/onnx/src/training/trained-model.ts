import { create } from '@bufbuild/protobuf';
import { castTensor, elementCount, sameShape, type FloatArray, type NamedTensors, type TensorData } from '@adakit/core';
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema, type ModelProto, type TensorProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireModel, requireNamed, requireNames, requireObject } from '../given.js';
import { dtypeCode, dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import type { WeightSpec } from './graphs.js';

/**
 * The values of initializers. Where alignment allows they are in the memory of the model: copy them before changing
 * them, unless the model is yours to change.
 *
 * @param parameters as an emitted graph of the same model lists them
 */
export function initialParameters(model: Model, parameters: readonly WeightSpec[]): NamedTensors {
  requireModel('initialParameters()', model);
  requireNamed('parameters', parameters);
  const stored = initializers(model, parameters);
  return Object.fromEntries(
    parameters.map(({ name, dtype, shape }, i) => {
      const data = stored[i].data as FloatArray;
      // A float32 parameter that is trained in float64.
      if (dtype === 'float64' && data instanceof Float32Array)
        return [name, { dtype, shape, data: new Float64Array(data) }];
      return [name, { dtype, shape, data }];
    }),
  );
}

/**
 * As {@link initialParameters}, for whoever has memory for the values: functions that copy them there, by name. In a file they
 * are rarely aligned, so that they would be copied twice otherwise, and memory that is new costs more than a copy.
 */
export function initialCopies(
  model: Model,
  parameters: readonly WeightSpec[],
): Readonly<Record<string, (to: FloatArray) => void>> {
  requireModel('initialCopies()', model);
  requireNamed('parameters', parameters);
  const stored = initializers(model, parameters);
  return Object.fromEntries(
    parameters.map(({ name }, i) => [
      name,
      (to: FloatArray) => {
        stored[i].copyTo(to);
      },
    ]),
  );
}

/** @throws OnnxError `unknown-parameter` */
function initializers({ graph, source }: Model, parameters: readonly WeightSpec[]): Tensor[] {
  const byName = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  return parameters.map(({ name }) => {
    const tensor = byName.get(name);
    if (tensor === undefined) throw new OnnxError('unknown-parameter', `${source} has no initializer '${name}'`);
    return Tensor.fromProto(tensor);
  });
}

/**
 * A graph with constants in the place of some of its inputs, which runtimes can then rearrange and fold. Shares the memory
 * of `values`, rounded to the inputs' element types where these are narrower.
 */
export function withConstants(model: ModelProto, inputs: readonly WeightSpec[], values: NamedTensors): ModelProto {
  requireObject('withConstants(): model', model);
  requireNamed('inputs', inputs);
  const { graph } = model;
  if (graph === undefined) return model;
  const added = inputs.map(({ name, dtype, shape }) => {
    const { data } = values[name].dtype === dtype ? values[name] : castTensor(values[name], dtype);
    return create(TensorProtoSchema, {
      name,
      dataType: dtypeCode(dtype),
      dims: shape.map(BigInt),
      rawData: bytesOf(data),
    });
  });
  const names = new Set(inputs.map(({ name }) => name));
  const changed = Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.filter(({ name }) => !names.has(name)),
    initializer: [...graph.initializer, ...added],
  });
  return Object.assign(create(ModelProtoSchema), model, { graph: changed });
}

/**
 * The original model with new values in some of its initializers: an inference model again, every other field as it
 * was. The original is not modified and shares what did not change; the result refers to the memory of `values`.
 *
 * @throws OnnxError for a value without an initializer of its name, shape and dtype
 */
export function withParameters(model: Model, values: NamedTensors): Model {
  requireModel('withParameters()', model);
  requireObject('withParameters(): values', values);
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
  return withInitializers(model, initializer);
}

/**
 * The model without the values of some initializers, so that their memory can be freed. It is not complete until
 * {@link withParameters} has put others in.
 */
export function withoutValues(model: Model, names: readonly string[]): Model {
  requireModel('withoutValues()', model);
  requireNames('names', names);
  const gone = new Set(names);
  let [kept, freed] = [0, 0];
  const initializer = model.graph.initializer.map((tensor) => {
    if (!gone.has(tensor.name)) {
      kept += tensor.rawData.length;
      return tensor;
    }
    freed += tensor.rawData.length;
    const { name, docString, metadataProps, dataType, dims } = tensor;
    return create(TensorProtoSchema, { name, docString, metadataProps, dataType, dims });
  });
  const left = withInitializers(model, initializer);
  return kept < freed ? apart(left) : left;
}

/** A copy: whatever is left of a message that was read, a name of one byte, keeps all bytes that it was read from. */
function apart(model: Model): Model {
  const proto = copied(model.proto);
  return { ...model, proto, graph: proto.graph ?? model.graph };
}

/** A copy of a message, with the bytes and the unknown fields in it: `clone` of the library keeps views of these. */
function copied<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  // Not `slice`, which gives a view of a Buffer.
  if (value instanceof Uint8Array) return new Uint8Array(value) as T & Uint8Array;
  if (Array.isArray(value)) return value.map(copied) as T & unknown[];
  const copy = Object.create(Object.getPrototypeOf(value) as object | null) as Record<string, unknown>;
  for (const [name, field] of Object.entries(value)) copy[name] = copied(field as unknown);
  return copy as T;
}

function withInitializers(model: Model, initializer: TensorProto[]): Model {
  const graph = Object.assign(create(GraphProtoSchema), model.graph, { initializer });
  return { ...model, graph, proto: Object.assign(create(ModelProtoSchema), model.proto, { graph }) };
}

function withValue(tensor: TensorProto, given: TensorData): TensorProto {
  const dims = tensor.dims.map(Number);
  const dtype = dtypeFromCode(tensor.dataType);
  // Trained in float64 beside float64 parameters.
  const value = dtype === 'float32' && given.dtype === 'float64' ? castTensor(given, dtype) : given;
  const { shape, data } = value;
  if (dtype !== value.dtype || !sameShape(dims, shape) || data.length !== elementCount(shape)) {
    throw new OnnxError(
      'invalid-argument',
      `the initializer '${tensor.name}' has shape [${dims.join(', ')}]; it cannot hold ${value.dtype} [${shape.join(', ')}]`,
    );
  }
  const { name, docString, metadataProps } = tensor;
  return create(TensorProtoSchema, {
    name,
    docString,
    metadataProps,
    dataType: tensor.dataType,
    dims: tensor.dims,
    rawData: bytesOf(data),
  });
}

function bytesOf({ buffer, byteOffset, byteLength }: FloatArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
