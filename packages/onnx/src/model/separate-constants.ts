import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { declarations } from './declarations.js';
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

/** What PyTorch's modules call the inputs of a normalization, in their order. */
const OF_NORMALIZATIONS: Readonly<Partial<Record<string, readonly (string | undefined)[]>>> = {
  BatchNormalization: [undefined, 'weight', 'bias', 'running_mean', 'running_var'],
  GroupNormalization: [undefined, 'weight', 'bias'],
  InstanceNormalization: [undefined, 'weight', 'bias'],
  LayerNormalization: [undefined, 'weight', 'bias'],
};

/**
 * As {@link separateConstants}, where the exporter has left no trace of the others: PyTorch's dynamo exporter with optimization
 * has the nodes of all modules use the one that it keeps. The file still says of each node which module it belongs to, and of the
 * program which parameters and buffers it had: a node of `norm2` that uses `norm1.weight`, elements all alike, gets a
 * `norm2.weight` where the program had one and the file has none.
 */
export function separateModules(graph: GraphProto): GraphProto {
  const declared = declarations(graph);
  if (declared.size === 0) return graph;
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const present = new Set([...initializers.keys(), ...graph.node.flatMap(({ output }) => output)]);
  const separated = new Map<string, TensorProto>();
  const ownName = (node: NodeProto, slot: number): string | undefined => {
    const used = node.input[slot];
    if (!declared.has(used)) return undefined;
    const module = moduleOf(node);
    if (module === undefined) return undefined;
    const role = OF_NORMALIZATIONS[node.opType]?.[slot] ?? used.slice(used.lastIndexOf('.') + 1);
    const name = module === '' ? role : `${module}.${role}`;
    return declared.has(name) && !present.has(name) ? name : undefined;
  };
  const node = graph.node.map((each) => {
    const names = each.input.map((used, slot) => {
      const tensor = initializers.get(used);
      const name = tensor && ownName(each, slot);
      if (tensor === undefined || name === undefined || !isUniform(tensor)) return used;
      separated.set(name, Object.assign(create(TensorProtoSchema), tensor, { name }));
      return name;
    });
    if (names.every((name, slot) => name === each.input[slot])) return each;
    return Object.assign(create(NodeProtoSchema), each, { input: names });
  });
  if (separated.size === 0) return graph;
  const initializer = [...graph.initializer, ...separated.values()];
  return Object.assign(create(GraphProtoSchema), graph, { node, initializer });
}

/** The module in which a node was traced, `layers.0.norm2`, where the file says so; one that is called again is itself. */
function moduleOf({ metadataProps }: NodeProto): string | undefined {
  const scopes = metadataProps.find(({ key }) => key === 'pkg.torch.onnx.name_scopes')?.value;
  // The last is the node's own name.
  return scopes === undefined
    ? undefined
    : Array.from(scopes.matchAll(/'([^']*)'/g), ([, scope]) => scope)
        .at(-2)
        ?.replace(/@\d+$/, '');
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
