import { InferenceSession, listSupportedBackends } from 'onnxruntime-node';
import { writeModel, type EmittedGraph } from '@adakit/onnx';
import { TrainingError } from './error.js';

/** Names as onnxruntime-node takes them: `cpu`, `webgpu`, `cuda`, … */
export type ExecutionProvider = string;

/** Session options that are passed on as they are. */
export type SessionOptions = Omit<InferenceSession.SessionOptions, 'executionProviders'>;

/**
 * Graphs whose weights are inputs gain nothing from the higher optimization levels, which take several times longer
 * to start.
 */
const defaults: SessionOptions = { graphOptimizationLevel: 'basic' };

/** Creates a session on one execution provider. */
export async function createSession(
  model: EmittedGraph['model'],
  provider: ExecutionProvider,
  options: SessionOptions = {},
): Promise<InferenceSession> {
  return InferenceSession.create(writeModel(model), { ...defaults, ...options, executionProviders: [provider] });
}

/**
 * Creates a session on the first provider of the list that works.
 *
 * @throws TrainingError `no-execution-provider` with the reason for each
 */
export async function createSessionOnFirst(
  model: EmittedGraph['model'],
  providers: readonly ExecutionProvider[],
  options: SessionOptions = {},
): Promise<{ session: InferenceSession; provider: ExecutionProvider }> {
  const available = listSupportedBackends().map(({ name }) => name);
  const reasons: string[] = [];
  for (const provider of providers) {
    if (!available.includes(provider)) {
      reasons.push(`${provider}: not in this build of onnxruntime-node`);
      continue;
    }
    try {
      return { session: await createSession(model, provider, options), provider };
    } catch (error) {
      reasons.push(`${provider}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new TrainingError(
    'no-execution-provider',
    `none of the execution providers can run the model; this build has ${available.join(', ')}. ` +
      (reasons.length === 0 ? 'The list was empty; name at least one' : `Tried:\n  ${reasons.join('\n  ')}`),
  );
}
