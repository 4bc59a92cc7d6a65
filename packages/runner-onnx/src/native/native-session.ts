import { promisify } from 'node:util';
import { onAbort, type NumericArray } from '@adakit/core';
import type { Tensor } from 'onnxruntime-node';
import type { ProviderChoice } from '../provider-options.js';
import type { CallOptions, RuntimeSession, SessionOptions } from '../runtime/runtime.js';
import { Binding } from './binding.js';
import { Handle } from './handle.js';
import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';
import { makeSessionOptions } from './session-options.js';
import { readSignature, type TensorInfo } from './signature.js';
import { HostValue, isElementType } from './value.js';

/**
 * Runs that take longer go to another thread. Going there and back costs 0.1 to 0.3 ms, most of it because what is in the
 * caches is another core's then: more than a tenth of a shorter run.
 */
const SYNC_BELOW_MS = 4;

/** By how much a run may be longer than the last one before it counts as waiting. */
const GROWTH = 1.1;

/** Lets the event loop do what has become due. */
const turn = promisify(setImmediate);
/** Since when runs that are done at once may have kept it from that. */
let busySince: number | undefined;

/** A session of ONNX Runtime, reached through its C API. */
export class NativeSession implements RuntimeSession {
  readonly library: NativeLibrary;
  readonly provider: ProviderChoice;
  readonly inputs: ReadonlyMap<string, TensorInfo>;
  readonly outputs: ReadonlyMap<string, TensorInfo>;
  /** For what belongs to it. */
  readonly handle: Handle;
  /** All outputs, each into a new tensor. */
  readonly #all: Readonly<Record<string, null>>;
  /** For {@link run}: what is bound stays so until it is another. */
  #binding: Binding | undefined;
  /** Runs one after the other where they share a binding. */
  #last: Promise<unknown> = Promise.resolve();
  /** Runs that the library is in, with what they use: releasing the session then would end the process. */
  readonly #running = new Map<Promise<unknown>, Binding>();
  /** Whether it will be released as soon as nothing runs. */
  #closing = false;
  /** Of runs that read as much as the last one: how long they take. */
  #expected = { milliseconds: Infinity, bytes: 0 };

  private constructor(library: NativeLibrary, provider: ProviderChoice, handle: Handle) {
    this.library = library;
    this.provider = provider;
    this.handle = handle;
    ({ inputs: this.inputs, outputs: this.outputs } = readSignature(library, handle.address));
    this.#all = Object.fromEntries([...this.outputs.keys()].map((name) => [name, null]));
  }

  /** @throws NativeError with ONNX Runtime's reason */
  static async create(
    library: NativeLibrary,
    model: Uint8Array,
    provider: ProviderChoice,
    options: SessionOptions = {},
  ): Promise<NativeSession> {
    // A call that waits for nothing is under way when this returns.
    const env = library.env ?? (await library.ready);
    const settings = makeSessionOptions(library, provider, options);
    const args = [env, model, model.byteLength, settings.address] as const;
    try {
      const address =
        library.onlySync === undefined
          ? await library.makeAsync('CreateSessionFromArray', ...args)
          : library.make('CreateSessionFromArray', ...args);
      const handle = new Handle('a session', address, library.releaseBy('ReleaseSession')).freedWhenForgotten();
      return new NativeSession(library, provider, handle);
    } finally {
      settings.release();
    }
  }

  get inputNames(): readonly string[] {
    return [...this.inputs.keys()];
  }

  /** @throws NativeError `released` */
  get address(): bigint {
    return this.handle.address;
  }

  /** Tensors for runs of this session. @param config entries of the runs' options */
  bind(config: Readonly<Record<string, string>> = {}): Binding {
    return new Binding(this, config);
  }

  /**
   * Runs on what is bound, off the event loop where that pays.
   *
   * @throws NativeError `missing-input`, or with ONNX Runtime's text; the signal's reason
   */
  async runBinding(binding: Binding, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closing) throw new NativeError('released', 'a session has been released and cannot be used any more');
    binding.requireComplete();
    const args = [this.address, binding.runOptions, binding.address] as const;
    const { inputBytes: bytes } = binding;
    const expected = this.#expected;
    const isShort = expected.milliseconds < SYNC_BELOW_MS && bytes <= expected.bytes;
    const start = performance.now();
    if (this.library.onlySync !== undefined || isShort) {
      this.library.call('RunWithBinding', ...args);
    } else {
      const run = this.library.callAsync('RunWithBinding', ...args);
      this.#running.set(run, binding);
      const forget =
        signal &&
        onAbort(signal, () => {
          this.library.call('RunOptionsSetTerminate', binding.runOptions);
        });
      try {
        await run;
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        this.#running.delete(run);
        if (forget !== undefined) {
          forget();
          this.library.call('RunOptionsUnsetTerminate', binding.runOptions);
        }
      }
      // It may have been too late to end it.
      signal?.throwIfAborted();
    }
    const milliseconds = performance.now() - start;
    // On a busy machine a run waits for its turn, which says nothing of the next one.
    const least = bytes === expected.bytes ? GROWTH * expected.milliseconds : Infinity;
    this.#expected = { milliseconds: Math.min(milliseconds, least), bytes };
    if (!isShort) return;
    if (busySince === undefined) {
      busySince = start;
      setImmediate(() => {
        busySince = undefined;
      });
    }
    if (performance.now() - busySince < SYNC_BELOW_MS) return;
    await turn();
    signal?.throwIfAborted();
  }

  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor | null>>,
    options: CallOptions = {},
  ): Promise<Readonly<Record<string, Tensor>>> {
    const result = this.#last.then(() => this.#run(feeds, fetches, options));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor | null>> | undefined,
    options: CallOptions,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const wanted = fetches ?? this.#all;
    if (this.#binding !== undefined && !this.#binding.hasOutputs(Object.keys(wanted))) {
      this.#binding.release();
      this.#binding = undefined;
    }
    // Inputs of the host are at another address of the device every time, which recorded kernels do not know.
    const recorded = this.provider.options.enableCudaGraph === true;
    const binding = (this.#binding ??= this.bind(recorded ? { gpu_graph_id: '-1' } : {}));
    for (const [name, tensor] of Object.entries(feeds)) {
      // Weights are the same memory every time.
      if (!binding.reads(name, tensor)) binding.bindInput(name, hostValue(this.library, name, tensor));
    }
    for (const [name, tensor] of Object.entries(wanted)) {
      if (tensor === null) binding.bindNewOutput(name);
      else binding.bindOutput(name, hostValue(this.library, name, tensor));
    }
    await this.runBinding(binding, options);
    const made = binding.newOutputs();
    return Object.fromEntries(Object.entries(wanted).map(([name, tensor]) => [name, tensor ?? made[name]]));
  }

  /** After the runs that have begun. Doing so again is harmless. */
  release(): Promise<void> {
    // In its place among the calls: what comes later is refused.
    const released = this.#last.then(async () => {
      this.#closing = true;
      await Promise.allSettled(this.#running.keys());
      this.#binding?.release();
      this.#binding = undefined;
      this.handle.release();
    });
    this.#last = released;
    return released;
  }
}

/** A tensor of JavaScript's ONNX Runtime, whose elements are not copied. @throws NativeError `unsupported` */
export function hostValue(library: NativeLibrary, name: string, { type, dims, data }: Tensor): HostValue {
  if (isElementType(type)) return new HostValue(library, type, dims, data as NumericArray);
  throw new NativeError(
    'unsupported',
    `the native runtime takes no ${type} tensors, as '${name}' is one; use runtime: 'node'`,
  );
}
