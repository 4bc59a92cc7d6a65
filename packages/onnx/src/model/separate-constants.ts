import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type GraphProto,
  type TensorProto,
} from 'onnx-buf';
import { dtypeFromCode, isDifferentiable } from './dtype.js';
import { Tensor } from './tensor.js';

/**
 * A graph in which tensors are their own again that an exporter has merged because they were equal when it wrote them.
 * PyTorch writes one of them, and an Identity node for each of the others; in a model that has not been trained these
 * are all gains, biases and running statistics of one size. Equal by chance are those whose elements are all alike; other
 * ones are tied, and stay so. The graph itself when there is nothing to do.
 */
export function separateConstants(graph: GraphProto): GraphProto {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const outputs = new Set(graph.output.map(({ name }) => name));
  const uniform = new Map<TensorProto, boolean>();
  const separated: TensorProto[] = [];
  const node = graph.node.filter(({ opType, domain, input, output: [name] }) => {
    const tensor = opType === 'Identity' && domain === '' ? initializers.get(input[0]) : undefined;
    if (tensor === undefined || outputs.has(name)) return true;
    if (!uniform.has(tensor)) uniform.set(tensor, isUniform(tensor));
    if (uniform.get(tensor) !== true) return true;
    separated.push(Object.assign(create(TensorProtoSchema), tensor, { name }));
    return false;
  });
  if (separated.length === 0) return graph;
  return Object.assign(create(GraphProtoSchema), graph, { node, initializer: [...graph.initializer, ...separated] });
}

/** Whether several float elements are all alike. */
export function isUniform(proto: TensorProto): boolean {
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL || !isDifferentiable(dtypeFromCode(proto.dataType))) {
    return false;
  }
  const { data, size } = Tensor.fromProto(proto);
  if (size < 2) return false;
  const [first] = data;
  for (const value of data) if (value !== first) return false;
  return true;
}
