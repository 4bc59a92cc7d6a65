import { StateFileError, type ParameterDescription } from '@adakit/core';
import { openState, openTensors } from '@adakit/core/node';
import { importGraph, readModel } from '@adakit/onnx';
import { tensorMeaning } from './state-optimizer.js';

/** The parameters of a file: a training state, an ONNX model (by its extension), or a safetensors file of weights. */
export async function describeFile(path: string): Promise<ParameterDescription[]> {
  if (path.endsWith('.onnx')) return describeModel(path);
  const file = await openState(path).catch((error: unknown) => {
    if (error instanceof StateFileError && error.code === 'missing-document') return openTensors(path);
    throw error;
  });
  await file.close();
  const isState = 'document' in file;
  return [...file.tensors].flatMap(([name, { shape }]) => {
    if (!isState) return name.startsWith('state/') ? [] : [{ name, shape }];
    const meaning = tensorMeaning(name);
    return meaning?.kind === 'parameter' ? [{ name: meaning.parameter, shape }] : [];
  });
}

/** What the nodes that use an initializer say about it. */
type Usage = Pick<ParameterDescription, 'axes' | 'layer'>;

/** By operator and input. */
const usages: Readonly<Record<string, (input: number, transposed: boolean) => Usage>> = {
  MatMul: (input) => (input === 1 ? { axes: 'io' } : {}),
  Gemm: (input, transposed) => (input === 1 ? { axes: transposed ? 'oi' : 'io' } : {}),
  Gather: (input) => (input === 0 ? { axes: 'vd' } : {}),
  LSTM: (input) => (input > 0 && input < 4 ? { layer: 'lstm' } : {}),
  GRU: (input) => (input > 0 && input < 4 ? { layer: 'gru' } : {}),
};

/** The float initializers that can be trained. */
async function describeModel(path: string): Promise<ParameterDescription[]> {
  const { initializers, nodes } = importGraph(await readModel(path));
  const usage = new Map<string, Usage>();
  for (const { op, inputs, attributes } of nodes) {
    if (!Object.hasOwn(usages, op)) continue;
    const transposed = op === 'Gemm' && attributes.int('transB', 0) === 1;
    inputs.forEach((input, i) => input && usage.set(input.name, usages[op](i, transposed)));
  }
  return initializers.flatMap(({ name, dtype, tensor }) => {
    const isParameter = (dtype === 'float32' || dtype === 'float64') && tensor !== undefined && tensor.dims.length > 0;
    return isParameter ? [{ name, shape: tensor.dims, ...usage.get(name) }] : [];
  });
}
