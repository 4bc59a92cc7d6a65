import { type DType, isDifferentiable, type Tensor } from '@adakit/onnx';
import { dtypeCode } from '@adakit/onnx/internal';
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
  type ValueInfoProto,
} from 'onnx-buf';

/**
 * How a case is given to the package:
 * - `fixed`: integers and settings are constants, as in exported models; floats are fed, of fixed shapes;
 * - `free`: as `fixed`, every dimension of every float input being free;
 * - `free-data`: as `fixed`, every dimension of the first float input being free, the others are weights;
 * - `fed`: everything is fed, of fixed shapes.
 */
export type Form = 'fixed' | 'free' | 'free-data' | 'fed';

/** Float inputs that configure an operator, which exporters write as constants. */
const SETTINGS: Readonly<Record<string, readonly number[]>> = {
  Dropout: [1],
  OneHot: [1],
  Range: [0, 1, 2],
  Resize: [1, 2],
  Upsample: [1],
};

export interface FormedModel {
  readonly model: ModelProto;
  /** What the symbols stand for. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** The model of a case in a form, with nothing said about the dtypes and shapes of what it computes. */
export function inForm(model: ModelProto, tensors: ReadonlyMap<string, Tensor>, form: Form): FormedModel {
  const sizes = new Map<string, number>();
  const settings = settingsOf(model);
  const isFed = (name: string) => form === 'fed' || (isDifferentiable(tensors.get(name)?.dtype) && !settings.has(name));
  const names = [...tensors.keys()];
  const fed = names.filter(isFed);
  const isFree = (name: string) => form === 'free' || (form === 'free-data' && name === fed[0]);
  const graph = model.graph ?? create(GraphProtoSchema);
  const input = fed.flatMap((name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) return [];
    const shape = tensor.dims.map((dim, axis) => {
      // A free dimension is at least 1.
      if (!isFree(name) || dim === 0) return dim;
      sizes.set(`${name}_${axis}`, dim);
      return `${name}_${axis}`;
    });
    return [describe(name, tensor.dtype, shape)];
  });
  const initializer = names.filter((name) => !isFed(name)).flatMap((name) => tensors.get(name)?.toProto(name) ?? []);
  const output = graph.output.map(({ name }) => create(ValueInfoProtoSchema, { name }));
  const formed = Object.assign(create(GraphProtoSchema), graph, { input, initializer, output, valueInfo: [] });
  return { model: Object.assign(create(ModelProtoSchema), model, { graph: formed }), sizes };
}

function settingsOf({ graph }: ModelProto): ReadonlySet<string> {
  return new Set(graph?.node.flatMap(({ opType, input }) => (SETTINGS[opType] ?? []).map((i) => input[i] ?? '')));
}

function describe(name: string, dtype: DType, shape: readonly (number | string)[]): ValueInfoProto {
  const dim = shape.map((length) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof length === 'number' ? { case: 'dimValue', value: BigInt(length) } : { case: 'dimParam', value: length },
    }),
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: dtypeCode(dtype),
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  });
}
