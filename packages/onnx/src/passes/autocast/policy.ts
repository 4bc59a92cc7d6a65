/**
 * In which type an operator is computed when products are in half precision. What is not listed is in float32: reductions,
 * softmax, losses, layer normalization, exponentials, logarithms, powers and roots, whose results are beyond the range of
 * float16 or lose more than one rounding in it. The lists are those of PyTorch's autocast
 * (https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference) for the operators of ONNX.
 *
 * - `half`: in half precision, whatever its inputs are;
 * - `follows`: in half precision where its inputs are, weights and constants aside; in float32 as soon as one is not;
 * - `within`: in float32, with statistics and all, and the result in half precision where its first input is.
 */
export type Policy = 'half' | 'follows' | 'within';

const listed = (policy: Policy, ...keys: readonly string[]) => keys.map((key): [string, Policy] => [key, policy]);

/** By the keys of the operator table. */
export const POLICIES: ReadonlyMap<string, Policy> = new Map([
  ...listed('half', 'Conv', 'ConvTranspose', 'Einsum', 'GRU', 'Gemm', 'LSTM', 'MatMul', 'RNN'),
  ...listed('within', 'BatchNormalization', 'InstanceNormalization'),
  // They move elements.
  ...listed('follows', 'Concat', 'DepthToSpace', 'Expand', 'Flatten', 'Gather', 'Identity', 'Pad', 'Reshape', 'Slice'),
  ...listed('follows', 'SpaceToDepth', 'Split', 'Squeeze', 'Tile', 'Transpose', 'Trilu', 'Unsqueeze', 'Where'),
  // They choose elements.
  ...listed('follows', 'Abs', 'Clip', 'GlobalMaxPool', 'LeakyRelu', 'Max', 'MaxPool', 'Min', 'Neg', 'PRelu', 'Relu'),
  // One rounding of one operation, of results that are not much larger than what they are of.
  ...listed('follows', 'Add', 'Div', 'Erf', 'HardSigmoid', 'HardSwish', 'Mul', 'Sigmoid', 'Sub', 'Sum', 'Tanh'),
]);
