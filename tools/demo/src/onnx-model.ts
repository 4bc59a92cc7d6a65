import type { Optimizer } from '@adakit/core';
import type { Trainable } from '@adakit/fit';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, TrainingSession } from '@adakit/runner-onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { digitsIn, side } from './mnist.js';

/** The model file that PyTorch exported, in training on ONNX Runtime from the weights in the file. */
export function onnxSession(optimizer: Optimizer): Promise<TrainingSession> {
  return TrainingSession.create({ model: dataFile('mnist-cnn.onnx'), loss: crossEntropy(), optimizer });
}

/** Runtime and device, for people. */
export function backendOf({ executionProvider }: TrainingSession): string {
  return `onnxruntime-node/${executionProvider}`;
}

/** An ONNX file in plain onnxruntime-node, as anybody would use it who never heard of training; it knows no loss. */
export async function openForInference(
  path: string,
): Promise<Required<Pick<Trainable, 'evaluate'>> & { dispose(): Promise<void> }> {
  const session = await InferenceSession.create(path);
  return {
    async evaluate(batch) {
      const { images, size } = digitsIn(batch);
      const { logits } = await session.run({ image: new Tensor('float32', images, [size, 1, side, side]) });
      return { loss: NaN, outputs: { logits } };
    },
    dispose: () => session.release(),
  };
}
