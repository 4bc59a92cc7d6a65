// @tier user
import {
  engine,
  getBackend,
  getKernel,
  registerKernel,
  tidy,
  unregisterKernel,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { BackendError } from '../backend.js';
import { conv2dFilterGradient } from './conv2d-filter-gradient.js';
import { conv3dFilterGradient } from './conv3d-filter-gradient.js';
import { conv3dInputGradient } from './conv3d-input-gradient.js';
import { depthwiseFilterGradient } from './depthwise-filter-gradient.js';
import { depthwiseInputGradient } from './depthwise-input-gradient.js';
import { maxPool3d } from './max-pool3d.js';
import { maxPool3dGradient, maxPoolGradient } from './max-pool-gradient.js';
import { resizeBilinearGradient, resizeNearestGradient } from './resize-gradient.js';
import { samePaddedConvolutions } from './same-padding.js';
import { segmentSum } from './segment-sum.js';
import type { KernelFunction, WasmKernel } from './wasm-kernel.js';

const backendName = 'wasm';

const kernels: readonly WasmKernel[] = [
  conv2dFilterGradient,
  conv3dFilterGradient,
  conv3dInputGradient,
  depthwiseFilterGradient,
  depthwiseInputGradient,
  maxPool3d,
  maxPoolGradient,
  maxPool3dGradient,
  resizeBilinearGradient,
  resizeNearestGradient,
  ...samePaddedConvolutions,
  segmentSum,
];

/**
 * Gives the wasm backend of TensorFlow.js the kernels that it lacks for training (the gradients of convolutions and of
 * gather), and replaces those that train wrongly. What is there and right stays, so calling this again, or with a later
 * TensorFlow.js that needs less, does nothing.
 *
 * @returns the names of the kernels that were registered
 * @throws BackendError unless wasm is the current backend, started: `await tf.setBackend('wasm')`
 */
export function registerWasmKernels(): readonly string[] {
  if (getBackend() !== backendName || !(backendName in engine().registry)) {
    throw new BackendError(
      backendName,
      `registerWasmKernels: the wasm backend of TensorFlow.js is not the current one (that is "${getBackend()}"); ` +
        "import '@tensorflow/tfjs-backend-wasm' and await tf.setBackend('wasm') first",
    );
  }
  const wanted = kernels.filter(({ name, isRight }) => {
    const present = getKernel(name, backendName) as KernelConfig | undefined; // its type forgets that it may be missing
    return present === undefined || (isRight !== undefined && !tidy(isRight));
  });
  wanted.forEach(register);
  return wanted.map(({ name }) => name);
}

function register({ name, compute }: WasmKernel): void {
  const present = getKernel(name, backendName) as KernelConfig | undefined;
  // TensorFlow.js warns of a kernel registered over another.
  if (present !== undefined) unregisterKernel(name, backendName);
  registerKernel({
    ...present, // its set-up: `compute` may call it
    kernelName: name,
    backendName,
    kernelFunc: ({ inputs, attrs = {}, backend }) => {
      const original: KernelFunction | undefined =
        present &&
        ((tensors, attributes) => present.kernelFunc({ inputs: tensors, attrs: attributes, backend }) as TensorInfo);
      // What they are follows from the name of the kernel.
      return compute(inputs as never, attrs as never, original);
    },
  });
}
