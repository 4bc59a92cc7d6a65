import type { Optimizer, StepReport, TrainingState } from '@adakit/core';
import type { Batch } from '@adakit/data';
import type { Trainable } from '@adakit/fit';
import { tfjsOptimizer, type AdakitOptimizer } from '@adakit/runner-tfjs';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import type { Sequential } from '@tensorflow/tfjs-layers';
import { classes, digitsIn } from './mnist.js';
import { crossEntropyOfLogits, startTfjs, tfjsNetwork, toTensors } from './tfjs-network.js';

/** Made once: TensorFlow.js gives a variable's name to no second one, and states know variables by name. */
let network: Sequential | undefined;

/** The network in training on TensorFlow.js. Only one at a time: all have the same variables. */
export class TfjsModel implements Trainable {
  readonly backend: string;
  readonly #network: Sequential;
  readonly #optimizer: AdakitOptimizer;
  #steps: number;

  private constructor(backend: string, network: Sequential, optimizer: AdakitOptimizer, steps: number) {
    this.backend = backend;
    this.#network = network;
    this.#optimizer = optimizer;
    this.#steps = steps;
  }

  /** Starts from a state under the names and in the layouts of TensorFlow.js. */
  static async create(optimizer: Optimizer, state: TrainingState): Promise<TfjsModel> {
    const backend = await startTfjs();
    network ??= tfjsNetwork();
    const tfjs = tfjsOptimizer(optimizer);
    network.compile({ optimizer: tfjs, loss: crossEntropyOfLogits });
    await tfjs.load(state);
    return new TfjsModel(backend, network, tfjs, state.step);
  }

  get stepCount(): number {
    return this.#steps;
  }

  async step(batch: Batch): Promise<StepReport> {
    const { x, y } = toTensors(digitsIn(batch));
    const loss = await this.#network.trainOnBatch(x, y);
    dispose([x, y]);
    return { loss: loss as number, step: ++this.#steps, outcome: 'taken' };
  }

  async evaluate(batch: Batch) {
    const digits = digitsIn(batch);
    const { x, y } = toTensors(digits);
    const logits = this.#network.predictOnBatch(x) as Tensor;
    const mean = crossEntropyOfLogits(y, logits);
    const [data, [loss]] = await Promise.all([logits.data<'float32'>(), mean.data<'float32'>()]);
    dispose([x, y, logits, mean]);
    return { loss, outputs: { logits: { data, dims: [digits.size, classes] } } };
  }

  state(): Promise<TrainingState> {
    return this.#optimizer.state();
  }

  async load(state: TrainingState): Promise<void> {
    await this.#optimizer.load(state);
    this.#steps = state.step;
  }

  dispose(): Promise<void> {
    this.#optimizer.dispose();
    return Promise.resolve();
  }
}
