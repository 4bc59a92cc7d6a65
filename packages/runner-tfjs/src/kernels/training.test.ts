import { sgd } from '@adakit/sgd';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { expect, it } from 'vitest';
import '../device/fused/wasm.js';
import { tfjsOptimizer } from '../index.js';
import { registerWasmKernels } from './wasm.js';

/** The same numbers on every backend: the golden ratio's multiples are spread evenly in [0, 1). */
const spread = (i: number): number => (i * 0.6180339887498949) % 1;

/** Images and the ids of two words each, to one of three classes. */
function network(): tf.LayersModel {
  const image = tf.input({ shape: [8, 8, 1] });
  const words = tf.input({ shape: [2] });
  const { layers } = tf;
  const convolved = layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same' }).apply(image);
  const pooled = layers.maxPooling2d({ poolSize: 2 }).apply(convolved); // of numbers below zero too
  const activated = layers.activation({ activation: 'relu' }).apply(pooled);
  const separated = layers.separableConv2d({ filters: 4, kernelSize: 3, activation: 'tanh' }).apply(activated);
  const embedded = layers.embedding({ inputDim: 5, outputDim: 3 }).apply(words);
  const features = [layers.flatten().apply(separated), layers.flatten().apply(embedded)] as tf.SymbolicTensor[];
  const logits = layers.dense({ units: 3 }).apply(layers.concatenate().apply(features)) as tf.SymbolicTensor;
  return tf.model({ inputs: [image, words], outputs: logits });
}

const batch = 12;
const steps = 40;

async function losses(backend: string): Promise<number[]> {
  await tf.setBackend(backend);
  const model = network();
  let drawn = 0;
  model.setWeights(
    model.getWeights().map((w) =>
      tf.tensor(
        Float32Array.from({ length: w.size }, () => spread(++drawn) - 0.5),
        w.shape,
      ),
    ),
  );
  const optimizer = tfjsOptimizer(sgd({ lr: 0.5 }));
  model.compile({ optimizer, loss: (y: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(y, logits) });
  const pixels = Float32Array.from({ length: batch * 64 }, (_, i) => spread(i + 1) - 0.5);
  const x = [
    tf.tensor(pixels, [batch, 8, 8, 1]),
    tf.tensor(
      Float32Array.from({ length: batch * 2 }, (_, i) => (i * 3) % 5),
      [batch, 2],
    ),
  ];
  const y = tf.oneHot(
    tf.tensor1d(
      Int32Array.from({ length: batch }, (_, i) => i % 3),
      'int32',
    ),
    3,
  );
  const result: number[] = [];
  for (let step = 0; step < steps; step++) result.push((await model.trainOnBatch(x, y)) as number);
  tf.dispose([x, y]);
  optimizer.dispose();
  model.dispose();
  return result;
}

it('a network of convolutions and embeddings trains on wasm as on cpu', async () => {
  await tf.setBackend('wasm');
  registerWasmKernels();
  const [actual, expected] = [await losses('wasm'), await losses('cpu')];
  expect(expected[steps - 1]).toBeLessThan(0.5 * expected[0]);
  // The longest sum is in the gradient of the first filter, over 12 · 8 · 8 pixels: each step is off by less than
  // 768 · 2^-24 of what it changes, and the loss by as much of itself a step.
  const bound = 768 * 2 ** -24;
  actual.forEach((loss, step) => {
    expect(Math.abs(loss - expected[step])).toBeLessThanOrEqual((step + 1) * bound * expected[step]);
  });
});
