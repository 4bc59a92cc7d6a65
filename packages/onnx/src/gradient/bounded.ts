import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';

/**
 * Operators whose derivatives are finite wherever their results are. Through them the cotangents of a finite loss are finite,
 * unless a number of the range of its dtype overflows.
 */
const REGULAR: ReadonlySet<string> = new Set([
  'Add',
  'AveragePool',
  'BatchNormalization',
  'Cast',
  'Clip',
  'Concat',
  'Conv',
  'ConvTranspose',
  'DepthToSpace',
  'Div',
  'Dropout',
  'Elu',
  'Erf',
  'Exp',
  'Expand',
  'Flatten',
  'Gather',
  'GatherElements',
  'GatherND',
  'Gelu',
  'Gemm',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'HardSigmoid',
  'HardSwish',
  'Identity',
  'LayerNormalization',
  'LeakyRelu',
  'LogSoftmax',
  'MatMul',
  'MaxPool',
  'Mul',
  'Neg',
  'PRelu',
  'Pad',
  'ReduceMax',
  'ReduceMean',
  'ReduceSum',
  'Relu',
  'Reshape',
  'Resize',
  'Selu',
  'Sigmoid',
  'Slice',
  'Softmax',
  'Softplus',
  'SpaceToDepth',
  'Split',
  'Squeeze',
  'Sub',
  'Sum',
  'Tanh',
  'Transpose',
  'Unsqueeze',
  'Where',
]);

/** Says which cotangents are finite as long as the loss is, going back through the nodes in the order of a gradient. */
export class BoundedCotangents {
  readonly #unbounded = new Set<Value>();

  /** Whether what arrives at a node is bounded; to be asked for every node after all that use its results. */
  arriveAt(node: Node): boolean {
    const isBounded = node.outputs.every((output) => output === undefined || !this.#unbounded.has(output));
    if (!isBounded || !isRegular(node)) {
      for (const input of node.reads) if (input !== undefined) this.#unbounded.add(input);
    }
    return isBounded;
  }
}

function isRegular(node: Node): boolean {
  if (node.key === 'Sqrt' || node.key === 'Pow') return isOfPositive(node);
  // Without ε, one over a deviation of 0.
  return REGULAR.has(node.key) && (node.attributes.float('epsilon') ?? 1) > 0;
}

/** Whether a root is of squares and something above 0, as in a normalization that is written out, or a power is a square. */
function isOfPositive({ key, inputs: [x, exponent] }: Node): boolean {
  if (key === 'Pow') return Number(exponent?.constant?.data[0]) >= 1 && exponent?.constant?.size === 1;
  const sum = x?.producer;
  if (sum?.key !== 'Add') return false;
  return sum.inputs.some((term, i) => {
    const { constant } = term ?? {};
    return constant?.size === 1 && Number(constant.data[0]) > 0 && isSquares(sum.inputs[1 - i]);
  });
}

function isSquares(value: Value | undefined): boolean {
  const node = value?.producer;
  if (node?.key === 'ReduceMean' || node?.key === 'ReduceSum') return isSquares(node.inputs[0]);
  if (node?.key === 'Mul') return node.inputs[0] === node.inputs[1];
  return node?.key === 'Pow' && Number(node.inputs[1]?.constant?.data[0]) === 2;
}
