import type { Optimizer, TrainingState } from '@adakit/core';
import { tfjsOptimizer, type AdakitOptimizer } from '@adakit/runner-tfjs';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import type { Sequential } from '@tensorflow/tfjs-layers';
import type { DigitBatch } from './mnist.js';
import { crossEntropyOfLogits, startTfjs, tfjsNetwork, toTensors } from './tfjs-network.js';
import type { TrainableModel } from './training.js';

/** Made once: TensorFlow.js gives a variable's name to no second one, and states know variables by name. */
let network: Sequential | undefined;

/** The network in training on TensorFlow.js. Only one at a time: all have the same variables. */
export class TfjsModel implements TrainableModel {
  readonly backend: string;
  readonly #network: Sequential;
  readonly #optimizer: AdakitOptimizer;

  private constructor(backend: string, network: Sequential, optimizer: AdakitOptimizer) {
    this.backend = backend;
    this.#network = network;
    this.#optimizer = optimizer;
  }

  /** Starts from a state under the names and in the layouts of TensorFlow.js. */
  static async create(optimizer: Optimizer, state: TrainingState): Promise<TfjsModel> {
    const backend = await startTfjs();
    network ??= tfjsNetwork();
    const tfjs = tfjsOptimizer(optimizer);
    network.compile({ optimizer: tfjs, loss: crossEntropyOfLogits });
    await tfjs.load(state);
    return new TfjsModel(backend, network, tfjs);
  }

  async step(batch: DigitBatch): Promise<number> {
    const { x, y } = toTensors(batch);
    const loss = await this.#network.trainOnBatch(x, y);
    dispose([x, y]);
    return loss as number;
  }

  async predict(batch: DigitBatch): Promise<Float32Array> {
    const { x, y } = toTensors(batch);
    const logits = this.#network.predictOnBatch(x) as Tensor;
    const values = await logits.data<'float32'>();
    dispose([x, y, logits]);
    return values;
  }

  state(): Promise<TrainingState> {
    return this.#optimizer.state();
  }

  load(state: TrainingState): Promise<void> {
    return this.#optimizer.load(state);
  }

  dispose(): Promise<void> {
    this.#optimizer.dispose();
    return Promise.resolve();
  }
}
