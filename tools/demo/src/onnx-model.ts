import type { Optimizer, TrainingState } from '@adakit/core';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, TrainingSession, type BatchTensor } from '@adakit/runner-onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { side, type DigitBatch } from './mnist.js';
import type { TrainableModel } from './training.js';

/** The model file that PyTorch exported, in training on ONNX Runtime. */
export class OnnxModel implements TrainableModel {
  readonly backend: string;
  readonly #session: TrainingSession;

  private constructor(session: TrainingSession) {
    this.#session = session;
    this.backend = `onnxruntime-node/${session.executionProvider}`;
  }

  /** Starts from the weights in the file. */
  static async create(optimizer: Optimizer): Promise<OnnxModel> {
    const model = dataFile('mnist-cnn.onnx');
    return new OnnxModel(await TrainingSession.create({ model, loss: crossEntropy(), optimizer }));
  }

  async step(batch: DigitBatch): Promise<number> {
    const labels = { data: BigInt64Array.from(batch.labels, BigInt), dims: [batch.size] };
    const { loss } = await this.#session.step({ image: imageTensor(batch), labels });
    return loss;
  }

  async predict(batch: DigitBatch): Promise<Float32Array> {
    const { logits } = await this.#session.predict({ image: imageTensor(batch) });
    return logits.data as Float32Array;
  }

  state(): Promise<TrainingState> {
    return this.#session.state();
  }

  load(state: TrainingState): Promise<void> {
    return this.#session.load(state);
  }

  /** Writes the trained model, complete or not at all. */
  async export(path: string): Promise<void> {
    await this.#session.exportModel(path);
  }

  /** Writes the training state, from which the run could go on. */
  async save(path: string): Promise<void> {
    await this.#session.save(path);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}

/** An ONNX file in plain onnxruntime-node, as anybody would use it who never heard of training. */
export async function openForInference(path: string): Promise<Pick<OnnxModel, 'predict' | 'dispose'>> {
  const session = await InferenceSession.create(path);
  return {
    async predict(batch) {
      const { data, dims } = imageTensor(batch);
      const { logits } = await session.run({ image: new Tensor('float32', data as Float32Array, dims) });
      return logits.data as Float32Array;
    },
    dispose: () => session.release(),
  };
}

function imageTensor({ images, size }: DigitBatch): BatchTensor {
  return { data: images, dims: [size, 1, side, side] };
}
