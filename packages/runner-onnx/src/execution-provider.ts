import {
  OnnxError,
  targets,
  Tensor as OnnxTensor,
  withFedWeights,
  writeModel,
  type EmittedGraph,
  type Target,
  type TargetName,
} from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import { failedRun } from './failed-run.js';
import { NativeSession } from './native/native-session.js';
import type { ExecutionProviderName, ProviderChoice } from './provider-options.js';
import { refusedModel } from './refused-model.js';
import { nodeRuntime } from './runtime/node-runtime.js';
import type { CallOptions, Runtime, RuntimeSession, SessionOptions } from './runtime/runtime.js';

type ModelProto = EmittedGraph['model'];

/** Where sessions are made: a provider of a runtime. */
export interface ChosenProvider extends ProviderChoice {
  readonly runtime: Runtime;
}

/** What needs no choice. */
export const CPU: ChosenProvider = { name: 'cpu', options: {}, runtime: nodeRuntime('nothing else is needed') };

/**
 * Graphs whose weights are inputs gain nothing from the higher optimization levels, which take several times longer
 * to start.
 */
const defaults: SessionOptions = { graphOptimizationLevel: 'basic' };

/**
 * On the CPU memory is taken from the arena value by value. Planned ahead, as the runtime would from the second run on, it is one
 * block beside what the first run has left, so that a process holds all of it twice.
 */
const onCpu: SessionOptions = { enableMemPattern: false };

/**
 * A model in the runtime. Its large constants are fed at every run, which costs nothing on the CPU, instead of being
 * written into the model, copied by the runtime, and bounded by the 2 GiB of a protobuf message.
 */
export class Session {
  readonly #session: RuntimeSession;
  readonly #constants: Readonly<Record<string, Tensor>>;

  private constructor(session: RuntimeSession, constants: Readonly<Record<string, Tensor>>) {
    this.#session = session;
    this.#constants = constants;
  }

  /**
   * @param mostEmbedded bytes of constants up to which none is fed
   * @throws TrainingError `refused-model` with the node that ONNX Runtime refuses, or a name that it cannot be asked for; its
   * own error where it would run no model
   */
  static async create(
    model: ModelProto,
    provider: ChosenProvider,
    options: SessionOptions = {},
    mostEmbedded = provider.name === 'cpu' ? MOST_EMBEDDED : MOST_SERIALIZED,
  ): Promise<Session> {
    assertReachable(model, provider.runtime);
    const constants = largeConstants(model, mostEmbedded);
    const fed = withFedWeights(model, Object.keys(constants));
    const settings = { ...defaults, ...(provider.name === 'cpu' && onCpu), ...options };
    try {
      return new Session(await provider.runtime.createSession(writeModel(fed), provider, settings), constants);
    } catch (cause) {
      throw await refusedModel(fed, provider, settings, cause);
    }
  }

  /** Whether memory that constants are fed from is gone: WebAssembly memory that has grown is another. */
  get isStale(): boolean {
    return Object.values(this.#constants).some(({ data }) => data.length === 0);
  }

  /** Where tensors can be bound to it by themselves. */
  get native(): NativeSession | undefined {
    return this.#session instanceof NativeSession ? this.#session : undefined;
  }

  /** Large constants of the model, which are fed. */
  get constants(): Readonly<Record<string, Tensor>> {
    return this.#constants;
  }

  /** What {@link run} must be given. */
  get inputNames(): readonly string[] {
    return this.#session.inputNames.filter((name) => !Object.hasOwn(this.#constants, name));
  }

  /**
   * As {@link RuntimeSession.run}.
   *
   * @throws TrainingError `failed-run`
   */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor | null>>,
    options?: CallOptions,
  ): Promise<Readonly<Record<string, Tensor>>> {
    try {
      return await this.#session.run({ ...this.#constants, ...feeds }, fetches, options);
    } catch (error) {
      throw failedRun(error, options?.signal);
    }
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** Names of inputs and outputs that would be lost on their way through a runtime's interface. */
function assertReachable({ graph }: ModelProto, { info }: Runtime): void {
  const refuse = (what: string, name: string, why: string): never => {
    throw new TrainingError('refused-model', `the model has an ${what} ${JSON.stringify(name)}, ${why}`);
  };
  for (const [what, values] of [
    ['input', graph?.input ?? []],
    ['output', graph?.output ?? []],
  ] as const) {
    for (const { name } of values) {
      if (name.includes('\0')) refuse(what, name, 'and ONNX Runtime ends names at a NUL character; rename it');
    }
  }
  // The binding assigns outputs to plain objects by their names.
  if (info.name === 'node' && graph?.output.some(({ name }) => name === '__proto__')) {
    refuse('output', '__proto__', "which onnxruntime-node does not hand over; rename it, or take runtime: 'native'");
  }
}

/** Constants of up to so many bytes in all are given to the runtime, which may rearrange them for its kernels. */
const MOST_EMBEDDED = 2 ** 28;

/** Where feeding means a transfer at every run, only what a protobuf message cannot hold is fed. */
const MOST_SERIALIZED = 2 ** 31 - 2 ** 27;

/** Smaller ones stay in the model: they may be shapes and axes, which runtimes want to know beforehand. */
const LEAST_FED = 2 ** 20;

/** The constants to feed, when all of them together exceed `most` bytes. */
function largeConstants({ graph }: ModelProto, most: number): Record<string, Tensor> {
  const initializers = graph?.initializer ?? [];
  if (initializers.reduce((sum, { rawData }) => sum + rawData.length, 0) <= most) return {};
  const fed = initializers.flatMap((proto) => {
    if (proto.rawData.length < LEAST_FED) return [];
    const { dtype, dims, data } = OnnxTensor.fromProto(proto);
    // bfloat16, strings and packed types have no tensors in JavaScript.
    return FEEDABLE.has(dtype)
      ? [[proto.name, new Tensor(dtype as 'float32', data as Float32Array, dims)] as const]
      : [];
  });
  return Object.fromEntries(fed);
}

const FEEDABLE: ReadonlySet<string> = new Set([
  'float32',
  'float64',
  'float16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint64',
  'uint32',
  'uint16',
  'uint8',
  'bool',
]);

/** The target that graphs are written for to run on a provider. */
export function targetOf(provider: ExecutionProviderName): Target {
  const name = `ort-${provider}`;
  return Object.hasOwn(targets, name) ? targets[name as TargetName] : targets.portable;
}

/**
 * Creates something, a session say, on the first provider of the list with which that works.
 *
 * @throws TrainingError `no-execution-provider` with the reason for each, `refused-model` where there is one alone; OnnxError
 * of the model on the first provider, where no other would help
 */
export async function onFirst<T>(
  runtime: Runtime,
  providers: readonly ProviderChoice[],
  create: (provider: ChosenProvider) => Promise<T>,
): Promise<T> {
  const reasons: string[] = [];
  let refused: TrainingError | undefined;
  for (const choice of providers) {
    const refusal = runtime.refusal(choice);
    if (refusal !== undefined) {
      reasons.push(`${choice.name}: ${refusal}`);
      continue;
    }
    const provider = { ...choice, runtime };
    try {
      return await create(provider);
    } catch (error) {
      // After one that has failed it says no more than why this one does not do instead.
      if (error instanceof OnnxError && reasons.length === 0) throw error;
      if (error instanceof TrainingError && error.code === 'refused-model') refused = error;
      reasons.push(`${choice.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (refused !== undefined && reasons.length === 1) throw refused;
  throw new TrainingError(
    'no-execution-provider',
    'none of the execution providers can run the model. ' +
      (reasons.length === 0 ? 'The list was empty; name at least one' : `Tried:\n  ${reasons.join('\n  ')}`),
  );
}
