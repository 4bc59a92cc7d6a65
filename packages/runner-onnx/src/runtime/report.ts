import type { KernelThreads } from '@adakit/core';
import type { ChosenProvider } from '../execution-provider.js';
import type { DeviceMemory } from '../native/device-memory.js';
import type { RuntimeInfo } from './runtime.js';

/** How a session reaches ONNX Runtime, and what that means for its provider. */
export interface RuntimeReport extends RuntimeInfo {
  readonly provider: string;
  /** Where parameters and optimizer state are between steps. */
  readonly state: 'host' | 'device';
  /** Threads that update long parameters in the host's memory, where the thread that calls is not the only one. */
  readonly updateThreads?: number;
  /** How tensors get from the device to the host, where the state is on a device. */
  readonly copiedBy?: string;
  /** Whether float32 products are computed in TensorFloat-32, for `cuda`. */
  readonly tf32?: boolean;
  /** What follows from that. */
  readonly note?: string;
}

export function reportRuntime(
  provider: ChosenProvider,
  memory: DeviceMemory | undefined,
  threads: KernelThreads | undefined,
): RuntimeReport {
  const { runtime, name } = provider;
  const tf32 = runtime.usesTf32(provider);
  return {
    ...runtime.info,
    provider: name,
    state: memory === undefined ? 'host' : 'device',
    ...(threads && { updateThreads: threads.most }),
    ...(memory && { copiedBy: memory.copiedBy }),
    ...(tf32 !== undefined && { tf32 }),
    ...(tf32 === true && { note: TF32_NOTE[runtime.info.name] }),
  };
}

const TF32_NOTE = {
  native: 'products are computed in TensorFloat-32, as useTf32 asks for: relative errors of about 3e-4',
  node:
    'products are computed in TensorFloat-32, with relative errors of about 3e-4; with onnxruntime-node only ' +
    'NVIDIA_TF32_OVERRIDE=0 in the environment before the process starts turns that off',
} as const;
