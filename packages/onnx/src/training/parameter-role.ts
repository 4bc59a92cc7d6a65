import type { ParameterRole } from '@adakit/core';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';

/** A parameter keeps its meaning on the way through these. */
const TRANSPARENT: ReadonlySet<string> = new Set([
  'Cast',
  'DequantizeLinear',
  'Expand',
  'Identity',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

const NORMALIZATION = /^(Batch|Instance|Layer|Group|RMS|SkipLayer|Simplified\w*|SkipSimplified\w*)Normalization$/;

/** Inputs of layers that are biases; their other constants are weights. */
const BIASES: Readonly<Partial<Record<string, number>>> = {
  Conv: 2,
  ConvTranspose: 2,
  Gemm: 2,
  LSTM: 3,
  GRU: 3,
  RNN: 3,
  'com.microsoft::BiasGelu': 1,
  'com.microsoft::FastGelu': 1,
  'com.microsoft::FusedConv': 2,
  'com.microsoft::FusedGemm': 2,
};

/** Layers whose constants are all weights. */
const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Einsum', 'com.microsoft::FusedMatMul']);

/** In this order the use of a parameter counts that has several: a tied embedding is an embedding. */
const PRECEDENCE: readonly ParameterRole[] = ['embedding', 'weight', 'norm', 'bias'];

/**
 * What parameters are to their layers, as far as their uses tell, so that groups can choose them by it: kernels and
 * matrices are weights, tables that are looked up or added to tokens embeddings, what scales and shifts normalized values
 * `norm`.
 *
 * @param graph operators as the model has them
 */
export function parameterRoles(graph: Graph, parameters: readonly Value[]): ReadonlyMap<Value, ParameterRole> {
  const consumers = graph.consumers();
  const roles = new Map<Value, ParameterRole>();
  for (const parameter of parameters) {
    const found = new Set<ParameterRole>();
    const seen = new Set<Value>([parameter]);
    for (const value of seen) {
      for (const node of consumers.get(value) ?? []) {
        if (TRANSPARENT.has(node.op)) for (const output of node.outputs) if (output !== undefined) seen.add(output);
        node.inputs.forEach((input, index) => {
          const role = input === value ? roleAt(node, index) : undefined;
          if (role !== undefined) found.add(role);
        });
      }
    }
    const role = PRECEDENCE.find((each) => found.has(each));
    if (role !== undefined) roles.set(parameter, role);
  }
  return roles;
}

function roleAt(node: Node, index: number): ParameterRole | undefined {
  const { key, op, inputs } = node;
  if (NORMALIZATION.test(op)) return index > 0 ? 'norm' : undefined;
  const bias = BIASES[key];
  if (bias !== undefined) return index === bias ? 'bias' : 'weight';
  if (PRODUCTS.has(key)) return 'weight';
  if (key === 'Gather' && index === 0) return 'embedding';
  const own = inputs[index];
  const other = inputs[1 - index];
  if (own === undefined || other === undefined) return undefined;
  if (key === 'Mul' && isNormalized(other)) return 'norm';
  if (key !== 'Add') return undefined;
  if ((own.shape ?? []).filter((size) => size !== 1).length > 1) return 'embedding';
  return isScaledNormalized(other) ? 'norm' : 'bias';
}

/** Whether a value is divided by a deviation: a normalization that an exporter has written out. */
function isNormalized({ producer }: Value): boolean {
  if (producer?.op === 'Div') return isDeviation(producer.inputs[1]);
  return producer?.op === 'Mul' && producer.inputs.some(isDeviation);
}

/** The root of a mean, or its reciprocal. */
function isDeviation(value: Value | undefined): boolean {
  const { producer } = value ?? {};
  return producer?.op === 'Sqrt' || (producer?.op === 'Reciprocal' && isDeviation(producer.inputs[0]));
}

function isScaledNormalized({ producer }: Value): boolean {
  return producer?.op === 'Mul' && producer.inputs.some((input) => input !== undefined && isNormalized(input));
}
