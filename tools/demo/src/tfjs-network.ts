import '@adakit/runner-tfjs/fused/wasm';
import { registerWasmKernels } from '@adakit/runner-tfjs/wasm';
import '@tensorflow/tfjs-backend-wasm';
import {
  getBackend,
  losses,
  oneHot,
  ready,
  setBackend,
  tensor1d,
  tensor4d,
  tidy,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { layers, sequential, type Sequential } from '@tensorflow/tfjs-layers';
import { classes, side, type DigitBatch } from './mnist.js';

/**
 * Starts the wasm backend, by far the fastest that runs in Node without a native addon.
 *
 * @returns its name, for people
 */
export async function startTfjs(): Promise<string> {
  if (!(await setBackend('wasm'))) {
    throw new Error('the wasm backend of TensorFlow.js does not start; its warning says why. Reinstall with npm ci');
  }
  await ready();
  registerWasmKernels();
  return `tfjs/${getBackend()}`;
}

/**
 * The network of mnist-cnn.onnx in TensorFlow.js: images [batch, 28, 28, 1] to logits [batch, 10]. Its weights are the
 * layers' random ones; `layout.ts` says how to put others in.
 */
export function tfjsNetwork(): Sequential {
  return sequential({
    layers: [
      layers.rescaling({ inputShape: [side, side, 1], scale: 3.25, offset: -0.125 * 3.25 }),
      layers.conv2d({ name: 'conv1', filters: 8, kernelSize: 5, activation: 'relu' }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.conv2d({ name: 'conv2', filters: 32, kernelSize: 3, padding: 'same', activation: 'relu' }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.flatten(),
      layers.dense({ name: 'fc', units: classes }),
    ],
  });
}

/** Softmax cross-entropy of logits [batch, 10] and one-hot labels of the same shape, averaged over the batch. */
export function crossEntropyOfLogits(labels: Tensor, logits: Tensor): Tensor {
  return losses.softmaxCrossEntropy(labels, logits);
}

/** Images [size, 28, 28, 1] and one-hot labels [size, 10]; the caller's to dispose. */
export function toTensors({ size, images, labels }: DigitBatch): { x: Tensor; y: Tensor } {
  return tidy(() => ({
    x: tensor4d(images, [size, side, side, 1]),
    y: oneHot(tensor1d(Int32Array.from(labels), 'int32'), classes),
  }));
}
