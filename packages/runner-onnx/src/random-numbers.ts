import {
  elementCount,
  fillDropout,
  fillRandom,
  kinds,
  nameKey,
  type GradientContext,
  type TrainingState,
} from '@adakit/core';
import { evaluateDim, type GradientsGraph, type RandomInput } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { ortTensor } from './ort-tensor.js';

/** When numbers are drawn: for which step, and for which of the batches that make it. */
export type Moment = Pick<GradientContext<never>, 'step' | 'batch'>;

/**
 * What a model draws in training: dropout and noise. Every number is a function of the seed, the node, the step, the batch
 * and its place, so that a run that goes on from a state draws what it would have drawn without the interruption.
 */
export class RandomNumbers {
  #seed: number;
  /** Memory by input, used again as long as its size stays. */
  readonly #drawn = new Map<string, Float32Array>();

  constructor(seed: number = globalThis.crypto.getRandomValues(new Uint32Array(1))[0]) {
    this.#seed = seed;
  }

  get seed(): number {
    return this.#seed;
  }

  /** Goes on with the seed of a state, where it has one. */
  load({ random }: TrainingState): void {
    const seed = random?.seed;
    if (typeof seed === 'number' && kinds.seed(seed) === undefined) this.#seed = seed;
  }

  /** Numbers for the random inputs of a graph, valid until the next call. */
  feeds(
    { random, inputs }: Pick<GradientsGraph, 'random' | 'inputs'>,
    batch: Readonly<Record<string, Tensor>>,
    moment: Moment,
  ): Record<string, Tensor> {
    if (random.inputs.length === 0) return {};
    const sizes = new Map(
      inputs.flatMap(({ name, shape }) =>
        shape.flatMap((dim, axis) => (typeof dim === 'string' ? [[dim, batch[name].dims[axis]] as const] : [])),
      ),
    );
    return Object.fromEntries(random.inputs.map((input) => [input.name, this.#draw(input, sizes, moment)]));
  }

  #draw({ key: name, draw, shape }: RandomInput, sizes: ReadonlyMap<string, number>, moment: Moment): Tensor {
    const dims = shape.map((dim) => evaluateDim(dim, sizes) ?? NaN);
    const length = elementCount(dims);
    let numbers = this.#drawn.get(name);
    if (numbers?.length !== length) this.#drawn.set(name, (numbers = new Float32Array(length)));
    const key = { seed: this.#seed, key: nameKey(name), step: moment.step, stream: moment.batch };
    if (draw.distribution === 'dropout') fillDropout(draw.rate, key, numbers);
    else fillRandom(draw.distribution, key, numbers);
    return ortTensor(numbers, dims);
  }
}
