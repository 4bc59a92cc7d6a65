import { AdakitError } from '@adakit/core';
import { InferenceSession, listSupportedBackends, type Tensor } from 'onnxruntime-node';
import type { ProviderChoice } from '../provider-options.js';
import { tf32IsForbidden, type CallOptions, type Runtime, type RuntimeSession } from './runtime.js';
import { silenceTelemetry } from './telemetry.js';

/** What the binding passes on to providers. */
const PASSED_ON: Readonly<Record<string, readonly string[]>> = {
  cuda: ['deviceId'],
  webgpu: ['preferredLayout'],
  dml: ['deviceId'],
  coreml: ['coreMlFlags'],
};

/** onnxruntime-node, the binding that ONNX Runtime publishes. */
export function nodeRuntime(why: string): Runtime {
  return {
    info: { name: 'node', why },
    refusal(provider) {
      const available = listSupportedBackends().map(({ name }) => name);
      if (!available.includes(provider.name)) {
        return `not in this build of onnxruntime-node, which has ${available.join(', ')}`;
      }
      const lost = Object.keys(passedOn(provider, false));
      if (lost.length === 0) return undefined;
      return `onnxruntime-node does not pass on ${lost.join(', ')}; use runtime: 'native'`;
    },
    usesTf32: ({ name }) => (name === 'cuda' ? !tf32IsForbidden() : undefined),
    async createSession(model, provider, options) {
      silenceTelemetry();
      const chosen = { name: provider.name, ...passedOn(provider, true) };
      const session = await InferenceSession.create(model, { ...options, executionProviders: [chosen] });
      return new NodeSession(session);
    },
  };
}

/** Options that reach the provider, or those that do not; what asks for what happens anyway counts as the former. */
function passedOn({ name, options }: ProviderChoice, wanted: boolean): ProviderChoice['options'] {
  const known = Object.hasOwn(PASSED_ON, name) ? PASSED_ON[name] : [];
  const holds = (option: string): boolean => option === 'useTf32' && options[option] !== tf32IsForbidden();
  return Object.fromEntries(
    Object.entries(options).filter(([option]) =>
      wanted ? known.includes(option) : !known.includes(option) && !holds(option),
    ),
  );
}

class NodeSession implements RuntimeSession {
  readonly #session: InferenceSession;
  /** Those that have been asked for: the binding begins a run later, and must find the session then. */
  readonly #runs = new Set<Promise<unknown>>();
  #released: Promise<void> | undefined;

  constructor(session: InferenceSession) {
    this.#session = session;
  }

  get inputNames(): readonly string[] {
    return this.#session.inputNames;
  }

  async run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor | null>>,
    { signal }: CallOptions = {},
  ): Promise<Readonly<Record<string, Tensor>>> {
    signal?.throwIfAborted();
    if (this.#released !== undefined) {
      throw new AdakitError('disposed', 'this session of onnxruntime-node has been released; make another');
    }
    const run = fetches === undefined ? this.#session.run(feeds) : this.#session.run(feeds, fetches);
    this.#runs.add(run);
    const results = await run.finally(() => this.#runs.delete(run));
    // The binding cannot end a run; what it has computed is not used.
    signal?.throwIfAborted();
    return results;
  }

  release(): Promise<void> {
    this.#released ??= Promise.allSettled(this.#runs).then(() => this.#session.release());
    return this.#released;
  }
}
