import { AttributeProto_AttributeType, type GraphProto, type ModelProto } from 'onnx-buf';

/** Whole numbers in [0, count) from a seed (xorshift). */
export function chooser(seed: number): (count: number) => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return (count) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(count, 1);
  };
}

/** Bytes with a few changed, inserted, removed, repeated or cut off. */
export function mutateBytes(bytes: Uint8Array, choose: (count: number) => number): Uint8Array {
  let result = Uint8Array.from(bytes);
  for (let i = choose(4); i >= 0; i--) {
    const at = choose(result.length);
    const length = 1 + choose(8);
    switch (choose(5)) {
      case 0:
        result[at] = choose(256);
        break;
      case 1:
        result[at] ^= 1 << choose(8);
        break;
      case 2:
        result = Uint8Array.from([...result.subarray(0, at), ...result.subarray(at + length)]);
        break;
      case 3:
        result = Uint8Array.from([...result.subarray(0, at + length), ...result.subarray(at)]);
        break;
      case 4:
        if (choose(4) === 0) result = result.slice(0, at);
        break;
    }
  }
  return result;
}

/** Numbers at which shapes and counts go wrong. */
const AWKWARD = [
  0n,
  1n,
  -1n,
  2n,
  -2n,
  3n,
  7n,
  255n,
  1n << 31n,
  -(1n << 31n),
  1n << 53n,
  (1n << 63n) - 1n,
  -(1n << 63n),
];

const TYPES = [
  AttributeProto_AttributeType.UNDEFINED,
  AttributeProto_AttributeType.FLOAT,
  AttributeProto_AttributeType.INT,
  AttributeProto_AttributeType.STRING,
  AttributeProto_AttributeType.TENSOR,
  AttributeProto_AttributeType.GRAPH,
  AttributeProto_AttributeType.FLOATS,
  AttributeProto_AttributeType.INTS,
];

/** Changes a few fields of a model in place: what a broken or malicious exporter could have written. */
export function mutateFields(proto: ModelProto, choose: (count: number) => number): void {
  const { graph } = proto;
  if (graph === undefined) return;
  for (let i = choose(3); i >= 0; i--) mutateField(proto, graph, choose);
}

function mutateField(proto: ModelProto, graph: GraphProto, choose: (count: number) => number): void {
  const pick = <T>(list: readonly T[]): T | undefined => list[choose(list.length)];
  const awkward = () => AWKWARD[choose(AWKWARD.length)];
  const node = pick(graph.node);
  const tensor = pick(graph.initializer);
  const names = [
    ...graph.node.flatMap(({ output }) => output),
    ...graph.initializer.map(({ name }) => name),
    '',
    'none',
  ];
  const replace = (list: string[]) => {
    if (list.length > 0) list[choose(list.length)] = pick(names) ?? '';
  };
  const attribute = pick(node?.attribute ?? []);
  switch (choose(14)) {
    case 0:
      if (node) node.opType = pick(graph.node)?.opType ?? '';
      break;
    case 1:
      if (node) replace(node.input);
      break;
    case 2:
      if (node) replace(node.output);
      break;
    case 3:
      node?.input.pop();
      break;
    case 4:
      node?.input.push(pick(names) ?? '');
      break;
    case 5:
      graph.node.splice(choose(graph.node.length), 1);
      break;
    case 6:
      graph.initializer.splice(choose(graph.initializer.length), 1);
      break;
    case 7:
      if (tensor) tensor.dims[choose(tensor.dims.length + 1)] = awkward();
      break;
    case 8:
      if (tensor) tensor.dataType = choose(30);
      break;
    case 9:
      if (attribute?.type === AttributeProto_AttributeType.INT) attribute.i = awkward();
      if (attribute?.type === AttributeProto_AttributeType.INTS)
        attribute.ints[choose(attribute.ints.length + 1)] = awkward();
      break;
    case 10:
      if (attribute) attribute.type = pick(TYPES) ?? AttributeProto_AttributeType.UNDEFINED;
      break;
    case 11:
      if (tensor && tensor.rawData.length > 0) tensor.rawData = tensor.rawData.map(() => choose(256));
      break;
    case 12: {
      const opset = pick(proto.opsetImport);
      if (opset) opset.version = BigInt(choose(30));
      break;
    }
    case 13: {
      const type = pick([...graph.input, ...graph.output])?.type?.value;
      if (type?.case === 'tensorType') {
        type.value.elemType = choose(3) === 0 ? choose(30) : type.value.elemType;
        const dim = pick(type.value.shape?.dim ?? []);
        if (dim)
          dim.value = choose(2) === 0 ? { case: 'dimValue', value: awkward() } : { case: 'dimParam', value: 'n' };
      }
      break;
    }
  }
}
