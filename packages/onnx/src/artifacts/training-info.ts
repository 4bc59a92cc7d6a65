import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TrainingInfoProtoSchema,
  ValueInfoProtoSchema,
  type ModelProto,
} from 'onnx-buf';
import { dtypeCode } from '../model/dtype.js';
import type { Carried } from './scan-steps.js';
import type { StateTensor } from './checkpoint.js';

/** Where the bytes of a tensor are. */
export interface TensorLocation {
  /** Name of the file, in the folder of the model. */
  readonly location: string;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly length: number;
}

/** How the update goes on from the training graph. */
export interface UpdateBindings {
  /** The optimizer's graph. */
  readonly update: ModelProto;
  /** Names in the training graph of what inputs of the optimizer's graph are there: parameters and gradients. */
  readonly joined: ReadonlyMap<string, string>;
  /** What the update changes, in the optimizer's graph. */
  readonly carried: readonly Carried[];
  /** What the training graph itself changes. */
  readonly moved: readonly Carried[];
}

/**
 * The training graph with the update as the standard has it (`TrainingInfoProto`): the nodes of the optimizer go on from
 * the graph, and bindings say which outputs become which initializers. What is trained are inputs of the graph all the
 * same; their initial values are references into the checkpoint. Runtimes for inference pass over it.
 *
 * @param state tensors that are bound, with where their initial values are
 */
export function withTrainingInfo(
  training: ModelProto,
  { update, joined, carried, moved }: UpdateBindings,
  state: ReadonlyMap<string, { readonly tensor: StateTensor; readonly at: TensorLocation }>,
): ModelProto {
  const { graph } = update;
  if (graph === undefined) return training;
  const taken = new Set([
    ...(training.graph?.input ?? []).map(({ name }) => name),
    ...(training.graph?.initializer ?? []).map(({ name }) => name),
    ...(training.graph?.node ?? []).flatMap(({ output }) => output),
  ]);
  const name = (own: string): string => {
    const shared = joined.get(own);
    if (shared !== undefined || own === '') return shared ?? own;
    return taken.has(own) ? `update/${own}` : own;
  };
  const bound = [
    ...carried.map(({ input, output }) => ({ tensor: input, key: name(input), value: name(output) })),
    ...moved.map(({ input, output }) => ({ tensor: input, key: input, value: output })),
  ];
  const algorithm = create(GraphProtoSchema, {
    name: 'update',
    input: graph.input.flatMap((input) =>
      joined.has(input.name) || carried.some((each) => each.input === input.name)
        ? []
        : [Object.assign(create(ValueInfoProtoSchema), input, { name: name(input.name) })],
    ),
    initializer: [
      ...graph.initializer.map((tensor) =>
        Object.assign(create(TensorProtoSchema), tensor, { name: name(tensor.name) }),
      ),
      ...bound.flatMap(({ tensor, key }) => {
        const found = state.get(tensor);
        return found === undefined ? [] : [reference(key, found.tensor, found.at)];
      }),
    ],
    node: graph.node.map((node) =>
      Object.assign(create(NodeProtoSchema), node, {
        name: `update/${node.name}`,
        input: node.input.map(name),
        output: node.output.map(name),
      }),
    ),
    output: graph.output.map((output) =>
      Object.assign(create(ValueInfoProtoSchema), output, { name: name(output.name) }),
    ),
  });
  const updateBinding = bound.map(({ key, value }) => create(StringStringEntryProtoSchema, { key, value }));
  const info = create(TrainingInfoProtoSchema, { algorithm, updateBinding });
  return Object.assign(create(ModelProtoSchema), training, { trainingInfo: [info] });
}

function reference(name: string, { dtype, shape }: StateTensor, { location, offset, length }: TensorLocation) {
  const entries = { location, offset: String(offset), length: String(length) };
  return create(TensorProtoSchema, {
    name,
    dataType: dtypeCode(dtype),
    dims: shape.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
  });
}
