import {
  elementCount,
  hostDevice,
  hostView,
  jsDevice,
  referenceDevice,
  type Device,
  type HostBuffer,
  type KernelThreads,
  type NamedTensors,
  type Plan,
  type Precision,
  type Run,
  type ViewedBuffer,
} from '@adakit/core';
import { tensorOf } from './ort-tensor.js';

/** What a session keeps: in the host's memory, or on a device with a view for the host. */
export type StateBuffer = HostBuffer | ViewedBuffer;

/** A WebAssembly memory ends at 4 GiB, and what belongs to a parameter lies in one; some of it is not for buffers. */
const LARGEST_MEMORY = 2 ** 32 - 2 ** 20;

/** The device that computes updates in the host's memory, where ONNX Runtime reads and writes as well. */
export function hostDeviceFor(
  { parameters }: Pick<Plan, 'parameters'>,
  precision: Precision,
  threads: KernelThreads | undefined,
): Device<StateBuffer> {
  // float64 models are few, and the fused loops are float32.
  if (precision === 'float64') return referenceDevice('float64');
  const fits = parameters.every(({ shape, slots }) => 4 * elementCount(shape) * (2 + slots.length) < LARGEST_MEMORY);
  return fits ? hostDevice({ ...(threads && { threads }) }) : jsDevice();
}

/** The weights being trained, not copied: valid until the run does something. */
export function trainedWeights(run: Run<StateBuffer>): NamedTensors {
  const { parameters } = run.buffers;
  return Object.fromEntries(
    run.parameters.map(({ name, shape }) => [name, tensorOf(hostView(parameters[name]), shape)]),
  );
}
