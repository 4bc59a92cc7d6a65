import { emitterOf, Graph, modelFromGraph, writeModel, type EmittedGraph } from '@adakit/onnx';
import { firstNodes } from '@adakit/onnx/internal';
import { TrainingError } from './error.js';
import type { ChosenProvider } from './execution-provider.js';
import type { SessionOptions } from './runtime/runtime.js';

type ModelProto = EmittedGraph['model'];

/**
 * What to throw where ONNX Runtime creates no session: which node it refuses is found out by asking it for the first nodes of
 * the graph alone, whatever its message looks like.
 *
 * @param model that it has refused
 * @param cause what it has said
 * @returns TrainingError `refused-model`; the cause itself where no model can run on the provider as it is asked for
 */
export async function refusedModel(
  model: ModelProto,
  provider: ChosenProvider,
  options: SessionOptions,
  cause: unknown,
): Promise<unknown> {
  // Nothing is to be optimized, nor written to where the caller wants the whole model.
  const kept = Object.entries(options).filter(([name]) => name !== 'optimizedModelFilePath');
  const quietly: SessionOptions = {
    ...Object.fromEntries(kept),
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 4,
  };
  const refusal = async (asked: ModelProto): Promise<string | undefined> => {
    try {
      const session = await provider.runtime.createSession(writeModel(asked), provider, quietly);
      await session.release();
      return undefined;
    } catch (error) {
      return textOf(error);
    }
  };
  if ((await refusal(smallest())) !== undefined) return cause;

  const nodes = model.graph?.node ?? [];
  const all = await refusal(firstNodes(model, nodes.length));
  if (all === undefined || (await refusal(firstNodes(model, 0))) !== undefined) {
    return new TrainingError('refused-model', `${HEADLINE}: ${textOf(cause)}\n${WHOLE}`, { cause });
  }
  // The first `accepted` nodes are, the first `refused` are not.
  let [accepted, refused, reason] = [0, nodes.length, all];
  while (refused - accepted > 1) {
    const middle = Math.floor((accepted + refused) / 2);
    const said = await refusal(firstNodes(model, middle));
    if (said === undefined) accepted = middle;
    else [refused, reason] = [middle, said];
  }
  const { name, opType, domain } = nodes[accepted];
  const key = domain === '' ? opType : `${domain}::${opType}`;
  const advice = reason.includes(NO_KERNEL) ? noKernel(key, provider) : NODE;
  return new TrainingError('refused-model', `${HEADLINE} for its ${key} node '${name}': ${reason}\n${advice}`, {
    cause,
  });
}

/** How the runtime says that it knows the operator, and not the element types of the node. */
const NO_KERNEL = 'Could not find an implementation';

function noKernel(key: string, { name }: ChosenProvider): string {
  return (
    `Its provider ${name} does not compute ${key} in the element types of this node. Of float64 it has few kernels: export the ` +
    'model in float32 (model.float() in PyTorch)'
  );
}

const HEADLINE = 'ONNX Runtime refuses the model';
const WHOLE =
  'What it says is about no single node. Check the file with onnx.checker.check_model(path, full_check=True) and export it ' +
  'again where that finds something; where it does not, please report this';
const NODE =
  'Where the file has this node, check it with onnx.checker.check_model(path, full_check=True) and export it again; where it ' +
  'has not, adakit has written the node: please report this';

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What every provider runs. */
function smallest(): ModelProto {
  const graph = new Graph('smallest');
  const x = graph.addInput('x', { dtype: 'float32', shape: [1] });
  graph.outputs.push(emitterOf(graph).node('Identity', [x]));
  return modelFromGraph(graph);
}
