import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { NativeLibrary } from '../native/library.js';
import type { ProviderChoice } from '../provider-options.js';

/** Session options that are passed on as they are. */
export type SessionOptions = Omit<InferenceSession.SessionOptions, 'executionProviders'>;

/** How ONNX Runtime is reached, and why so. */
export interface RuntimeInfo {
  /** `native`: its C API; `node`: onnxruntime-node. */
  readonly name: 'native' | 'node';
  /** Why this one. */
  readonly why: string;
  /** Version of ONNX Runtime, where it tells. */
  readonly version?: string;
  /** The library's file, where it is known. */
  readonly library?: string;
}

/** What a run may be given beside its tensors. */
export interface CallOptions {
  /** Ends the run, or makes it as if it had not been, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A model in the runtime. */
export interface RuntimeSession {
  readonly inputNames: readonly string[];
  /**
   * @param fetches the outputs to compute, each into a tensor or with `null` into a new one; a provider that does not write
   * into a given one gives another. Default: all, into new ones
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor | null>>,
    options?: CallOptions,
  ): Promise<Readonly<Record<string, Tensor>>>;
  /** After the runs that have been asked for; later ones are refused. Doing so again is harmless. */
  release(): Promise<void>;
}

/** A way to reach ONNX Runtime. */
export interface Runtime {
  readonly info: RuntimeInfo;
  /** The C API, where that is the way. */
  readonly library?: NativeLibrary;
  /** Why a provider cannot be used as it is asked for; undefined where it may work. */
  refusal(provider: ProviderChoice): string | undefined;
  /** Whether products of float32 are computed in TensorFloat-32; undefined where the provider has no such thing. */
  usesTf32(provider: ProviderChoice): boolean | undefined;
  createSession(model: Uint8Array, provider: ProviderChoice, options: SessionOptions): Promise<RuntimeSession>;
}

/** Whether the environment turns TensorFloat-32 off for the whole process, as CUDA's libraries read it. */
export function tf32IsForbidden(): boolean {
  return process.env.NVIDIA_TF32_OVERRIDE === '0';
}
