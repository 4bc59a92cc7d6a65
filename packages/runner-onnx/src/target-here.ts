import { blockProbe, LONGEST_BLOCK, withBlocks, writeModel, type Model, type Target } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { targetOf } from './execution-provider.js';
import type { ExecutionProviderName } from './provider-options.js';
import type { Runtime } from './runtime/runtime.js';

/** The target of the CPU of this machine for each library of ONNX Runtime, found out once. */
const found = new Map<string, Promise<Target>>();

/**
 * The target that a model is trained on here, on a provider of a runtime: that of the provider, and on the CPU with convolutions
 * in blocks, which are not in the standard, where the runtime proves to compute them.
 */
export async function targetHere(
  provider: ExecutionProviderName,
  { graph }: Pick<Model, 'graph'>,
  runtime: Runtime,
): Promise<Target> {
  const target = targetOf(provider);
  if (provider !== 'cpu' || !mayUseBlocks(graph)) return target;
  const library = runtime.info.library ?? runtime.info.name;
  const known = found.get(library) ?? convolvesInBlocks(runtime).then((does) => (does ? withBlocks(target) : target));
  found.set(library, known);
  return known;
}

/** Whether a model has convolutions whose channels are whole blocks, so that it is worth finding out. */
function mayUseBlocks({ node, initializer }: Model['graph']): boolean {
  const channels = new Map(initializer.map(({ name, dims }) => [name, dims.slice(0, 2)]));
  return node.some(
    ({ opType, input }) =>
      opType === 'Conv' && channels.get(input[1])?.every((count) => count % BigInt(LONGEST_BLOCK) === 0n) === true,
  );
}

/** Whether a runtime computes convolutions in blocks on this machine's CPU, and right. */
async function convolvesInBlocks(runtime: Runtime): Promise<boolean> {
  const { model, feeds, output, expected } = blockProbe();
  const cpu = { name: 'cpu', options: {} } as const;
  // What a runtime lacks it refuses with an error, which says no more here than that it does.
  const quietly = { logSeverityLevel: 4, intraOpNumThreads: 1, graphOptimizationLevel: 'basic' } as const;
  try {
    const session = await runtime.createSession(writeModel(model), cpu, quietly);
    try {
      const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [name, new Tensor(data, dims)] as const);
      const results = await session.run(Object.fromEntries(tensors));
      const { data } = results[output];
      return expected.every((number, i) => number === data[i]);
    } finally {
      await session.release();
    }
  } catch {
    return false;
  }
}
