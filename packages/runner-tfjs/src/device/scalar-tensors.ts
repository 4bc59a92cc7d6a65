import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Numbers as rank-0 tensors on the device. A number costs an upload when it is new; one that the last step used as well
 * is there already.
 */
export class ScalarTensors {
  #previous = new Map<string, Tensor>();
  #current = new Map<string, Tensor>();

  /** The tensor of `value`, rounded to float32. It stays this object's. */
  readonly get = (value: number): Tensor => {
    const rounded = Math.fround(value);
    const key = Object.is(rounded, -0) ? '-0' : String(rounded);
    let tensor = this.#current.get(key);
    if (tensor === undefined) {
      tensor = this.#previous.get(key) ?? tf.keep(tf.scalar(rounded));
      this.#previous.delete(key);
      this.#current.set(key, tensor);
    }
    return tensor;
  };

  /** Frees the tensors that this step has not used. */
  endStep(): void {
    for (const tensor of this.#previous.values()) tensor.dispose();
    this.#previous = this.#current;
    this.#current = new Map();
  }

  dispose(): void {
    this.endStep();
    this.endStep();
  }
}
