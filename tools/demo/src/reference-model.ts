import {
  castTensor,
  referenceDevice,
  Run,
  type FloatArray,
  type NamedTensors,
  type Optimizer,
  type TrainingState,
} from '@adakit/core';
import type { DigitBatch } from './mnist.js';
import { lossAndGradients } from './reference-cnn.js';

/** The network in training in float64, network and optimizer alike, on no runtime at all. */
export class ReferenceModel {
  readonly #run: Run<FloatArray>;

  /** Starts from the parameters in `state`, under their names in the ONNX file. */
  constructor(optimizer: Optimizer, state: TrainingState) {
    this.#run = Run.start(referenceDevice('float64'), optimizer, parametersOf(state));
  }

  /**
   * Takes a step, unless relu or max pooling are within `margin` of deciding otherwise on this batch.
   *
   * @returns whether it took it
   */
  async stepUnlessClose(batch: DigitBatch, margin: number): Promise<boolean> {
    const result = lossAndGradients(parametersOf(await this.#run.state()), batch);
    if (result.margin < margin) return false;
    await this.#run.applyGradients(result.gradients);
    return true;
  }

  state(): Promise<TrainingState> {
    return this.#run.state();
  }
}

function parametersOf({ parameters }: TrainingState): NamedTensors {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { value }]) => [name, castTensor(value, 'float64')]),
  );
}
