import { outlineOf, type ParameterDescription, StateFileError, statisticOf } from '@adakit/state';
import { openState, openTensors, type OpenState } from '@adakit/state/node';
import { importGraph, readModel } from '@adakit/onnx';
import { tensorMeaning } from './tensor-name.js';

/** The parameters of a file: a training state, an ONNX model (by its extension), or a safetensors file of weights. */
export async function describeFile(path: string): Promise<ParameterDescription[]> {
  if (path.endsWith('.onnx')) return describeModel(path);
  const file = await openState(path).catch((error: unknown) => {
    if (error instanceof StateFileError && error.code === 'missing-document') return openTensors(path);
    throw error;
  });
  await file.close();
  if ('document' in file) return describeState(file);
  return [...file.tensors].flatMap(([name, { shape }]) => (name.startsWith('state/') ? [] : [{ name, shape }]));
}

/** The parameters of a state and its running statistics. */
function describeState({ document, tensors, path }: OpenState): ParameterDescription[] {
  const { parameters } = outlineOf(document, tensors, path);
  const statistics = [...tensors].flatMap(([name, { shape }]) => {
    const meaning = tensorMeaning(name);
    return meaning?.kind === 'statistic' ? [{ name: meaning.statistic, shape }] : [];
  });
  return [
    // Where the axis of outputs is written down, it matters.
    ...Object.entries(parameters).map(([name, { shape, units }]) => ({ name, shape, ...(units && { units }) })),
    ...statistics.map((statistic) => ({ ...statistic, statistic: statisticOf(statistic) ?? ('other' as const) })),
  ];
}

/** What the nodes that use an initializer say about it. */
type Usage = Pick<ParameterDescription, 'axes' | 'layer' | 'statistic'>;

/** By operator and input. */
const usages: Readonly<Record<string, (input: number, transposed: boolean) => Usage>> = {
  MatMul: (input) => (input === 1 ? { axes: 'io' } : {}),
  Gemm: (input, transposed) => (input === 1 ? { axes: transposed ? 'oi' : 'io' } : {}),
  Gather: (input) => (input === 0 ? { axes: 'vd' } : {}),
  LSTM: (input) => (input > 0 && input < 4 ? { layer: 'lstm' } : {}),
  GRU: (input) => (input > 0 && input < 4 ? { layer: 'gru' } : {}),
  BatchNormalization: (input) => (input === 3 ? { statistic: 'mean' } : input === 4 ? { statistic: 'variance' } : {}),
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
