import { closestName, kindOf, kinds, type OptionKind } from '@adakit/core';
import { TrainingError } from './error.js';

/** Names as ONNX Runtime's JavaScript knows them: `cpu`, `webgpu`, `cuda`, … */
export type ExecutionProviderName = string;

/** NVIDIA GPUs. All but `deviceId` need the native runtime. */
export interface CudaProvider {
  readonly name: 'cuda';
  /** Which GPU. Default: 0. */
  readonly deviceId?: number;
  /**
   * Whether float32 products may be computed in TensorFloat-32, with 10 bits of mantissa: faster, with relative errors of
   * 3e-4 instead of 3e-7. Default: false. onnxruntime-node always uses it, unless NVIDIA_TF32_OVERRIDE=0 is in the
   * environment when the process starts.
   */
  readonly useTf32?: boolean;
  /** How cuDNN finds its algorithm for a convolution of a new shape. Default: `exhaustive`. */
  readonly cudnnConvAlgoSearch?: 'exhaustive' | 'heuristic' | 'default';
  /** Bytes that a session's arena may take. Default: no limit. */
  readonly gpuMemLimit?: number;
  /** Whether convolutions are computed with channels last. Default: false. */
  readonly preferNhwc?: boolean;
  /**
   * Whether to record the kernels of a step once and replay them. Every node must have a CUDA kernel, and all batches one
   * shape. Default: false.
   */
  readonly enableCudaGraph?: boolean;
}

/** GPUs through WebGPU. */
export interface WebGpuProvider {
  readonly name: 'webgpu';
  readonly preferredLayout?: 'NCHW' | 'NHWC';
}

/** A provider with its options. */
export type ConfiguredProvider =
  | CudaProvider
  | WebGpuProvider
  | { readonly name: 'dml'; readonly deviceId?: number }
  | { readonly name: 'coreml'; readonly coreMlFlags?: number };

/** A provider by its name, or with options. */
export type ExecutionProvider = ExecutionProviderName | ConfiguredProvider;

/** A provider whose options have been checked. */
export interface ProviderChoice {
  readonly name: ExecutionProviderName;
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

const OPTIONS: Readonly<Record<string, Readonly<Record<string, OptionKind>>>> = {
  cuda: {
    deviceId: kinds.count(),
    useTf32: kinds.flag,
    cudnnConvAlgoSearch: kinds.oneOf('exhaustive', 'heuristic', 'default'),
    gpuMemLimit: kinds.count(),
    preferNhwc: kinds.flag,
    enableCudaGraph: kinds.flag,
  },
  webgpu: { preferredLayout: kinds.oneOf('NCHW', 'NHWC') },
  dml: { deviceId: kinds.count() },
  coreml: { coreMlFlags: kinds.count() },
};

/** The provider for graphs that are not run often enough to be recorded. */
export function withoutRecording<P extends ProviderChoice>(provider: P): P {
  const options = Object.entries(provider.options).filter(([name]) => name !== 'enableCudaGraph');
  return { ...provider, options: Object.fromEntries(options) };
}

/**
 * Checks what a user has written.
 *
 * @throws TrainingError `invalid-provider`, with the nearest name for an unknown option
 */
export function parseProvider(given: ExecutionProvider): ProviderChoice {
  if (typeof given === 'string') return { name: given, options: {} };
  const { name, ...options } = Object(given) as { readonly name?: unknown } & ProviderChoice['options'];
  if (typeof name !== 'string') {
    throw new TrainingError(
      'invalid-provider',
      `an execution provider is a name or { name, …options }, got ${kindOf(given)}`,
    );
  }
  const known = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : {};
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, option)) {
      const nearest = closestName(option, Object.keys(known));
      const all = Object.keys(known).join(', ');
      throw new TrainingError(
        'invalid-provider',
        `the execution provider '${name}' has no option '${option}'` +
          (nearest === undefined ? '' : ` (did you mean '${nearest}'?)`) +
          (all === '' ? '; it has none' : `; it has ${all}`),
      );
    }
    const problem = known[option](value);
    if (problem !== undefined)
      throw new TrainingError('invalid-provider', `the option ${option} of '${name}' ${problem}`);
  }
  return { name, options };
}
