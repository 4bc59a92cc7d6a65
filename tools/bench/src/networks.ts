import { elementCount } from '@adakit/core';
import type { Batch } from '@adakit/runner-onnx';

/** A network of python/training.py: its input, what a batch of it is, and where its classes lie. */
export interface Network {
  readonly title: string;
  readonly input: string;
  readonly dims: readonly number[];
  readonly labels: readonly number[];
  /** Words or classes. */
  readonly classes: number;
  readonly classAxis: number;
  /** Whether it is measured without peers: what its start takes is of interest. */
  readonly alone?: true;
}

export const networks: Readonly<Record<string, Network>> = {
  mlp: { title: 'MLP 784-512-512-10, batch 64', input: 'x', dims: [64, 784], labels: [64], classes: 10, classAxis: 1 },
  cnn: { title: 'MNIST CNN, batch 64', input: 'x', dims: [64, 1, 28, 28], labels: [64], classes: 10, classAxis: 1 },
  resnet18: {
    title: 'ResNet-18 32×32, batch 32',
    input: 'x',
    dims: [32, 3, 32, 32],
    labels: [32],
    classes: 10,
    classAxis: 1,
  },
  densenet121: {
    title: 'DenseNet-121 32×32, batch 16',
    input: 'x',
    dims: [16, 3, 32, 32],
    labels: [16],
    classes: 10,
    classAxis: 1,
    alone: true,
  },
  lstm: {
    title: 'LSTM 2×200, 20 × 35 words of 10,000',
    input: 'x',
    dims: [20, 35],
    labels: [20, 35],
    classes: 10_000,
    classAxis: 2,
  },
  gpt: {
    title: 'GPT 4×128, 16 × 64 words of 1,000',
    input: 'x',
    dims: [16, 64],
    labels: [16, 64],
    classes: 1000,
    classAxis: 2,
  },
};

/**
 * A batch that python/training.py makes too.
 *
 * @param rows samples. Default: as many as the network's title says
 */
export function batchOf(
  { input, dims: [given, ...dimsOfOne], labels: [, ...labelsOfOne], classes }: Network,
  rows = given,
): Batch {
  const [dims, labels] = [
    [rows, ...dimsOfOne],
    [rows, ...labelsOfOne],
  ];
  const classOf = (_: unknown, i: number) => BigInt((i * 7919) % classes);
  // Another class than the word itself, which a network whose last layer is its embedding knows from the start.
  const labelOf = (_: unknown, i: number) => BigInt((i * 7919 + 1) % classes);
  const data =
    classes >= 1000
      ? BigInt64Array.from({ length: elementCount(dims) }, classOf)
      : Float32Array.from({ length: elementCount(dims) }, (_, i) => Math.sin(i));
  return {
    [input]: { data, dims: [...dims] },
    labels: { data: BigInt64Array.from({ length: elementCount(labels) }, labelOf), dims: [...labels] },
  };
}
