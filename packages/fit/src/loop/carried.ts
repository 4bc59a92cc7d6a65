import { elementCount, kinds, type TensorData, type TrainingState } from '@adakit/core';
import type { Batch, DataTensor } from '@adakit/data';
import { loadTensor } from '@adakit/state';
import { FitError } from '../error.js';
import type { Outputs, Trainable } from '../trainable.js';

/** Inputs of a model and the outputs that they are fed with at the next batch: `{ h0: 'hn', c0: 'cn' }`. */
export type Carry = Readonly<Record<string, string>>;

/** {@link Carry} in options. */
export const CARRY = kinds.record("names of outputs by inputs, as { h0: 'hn' }", kinds.text);

/** Before the names of what is carried, among the tensors of a state that no optimizer updates. */
const PREFIX = 'carried/';

/**
 * State that goes from batch to batch, such as that of an LSTM that reads a text window by window: zero at the beginning of a
 * pass, what the model made of it afterwards. No gradient flows back into the batch before (truncated backpropagation through
 * time).
 */
export class Carried {
  readonly #carry: readonly (readonly [input: string, output: string])[];
  readonly #inputs: NonNullable<Trainable['inputs']>;
  #tensors: Readonly<Record<string, DataTensor>> | undefined;

  /** @throws FitError `invalid-argument` for names that the model does not have */
  constructor(carry: Carry, inputs: Trainable['inputs']) {
    this.#carry = Object.entries(carry);
    this.#inputs = inputs ?? [];
    const known = this.#inputs.map(({ name }) => name);
    const strange = this.#carry.find(([input]) => !known.includes(input));
    if (strange === undefined) return;
    throw new FitError(
      'invalid-argument',
      `carry: the model has no input '${strange[0]}' (there are: ${known.join(', ') || 'none that are known'})`,
    );
  }

  /** What follows begins anew. */
  reset(): void {
    this.#tensors = undefined;
  }

  /** The batch with what is carried. @throws FitError `invalid-argument` for a batch of another size than the one before */
  feed(batch: Batch): Batch {
    if (this.#carry.length === 0) return batch;
    const tensors = Object.fromEntries(
      this.#carry.map(([name]) => {
        const dims = this.#dimsOf(name, batch);
        const kept = this.#tensors?.[name];
        if (kept === undefined) return [name, { data: new Float32Array(elementCount(dims)), dims }];
        if (kept.dims.join() === dims.join()) return [name, kept];
        throw new FitError(
          'invalid-argument',
          `carry: '${name}' is [${kept.dims.join(', ')}] after the batch before, and this one wants [${dims.join(', ')}]; ` +
            "make all batches of one size: batch(n, { last: 'drop' })",
        );
      }),
    );
    return { ...batch, ...tensors };
  }

  /** Takes over what the model has made of it. @throws FitError `invalid-argument` for an output that is not there */
  take(outputs: Outputs = {}): void {
    if (this.#carry.length === 0) return;
    this.#tensors = Object.fromEntries(
      this.#carry.map(([input, output]) => {
        if (Object.hasOwn(outputs, output)) return [input, outputs[output] as DataTensor];
        throw new FitError(
          'invalid-argument',
          `carry: a step gives no output '${output}' (there are: ${Object.keys(outputs).join(', ') || 'none'}); a TrainingSession ` +
            `gives those that it is created with: { outputs: ['${output}'] }`,
        );
      }),
    );
  }

  /** A state with what is carried in it. */
  saved(state: TrainingState): TrainingState {
    if (this.#carry.length === 0) return state;
    // A state that was loaded brings its own along, which is old.
    const others = Object.entries(state.statistics ?? {}).filter(([name]) => !name.startsWith(PREFIX));
    const own = Object.entries(this.#tensors ?? {}).map(([name, { data, dims }]): [string, TensorData] => {
      if (data instanceof Float32Array) return [PREFIX + name, { dtype: 'float32', shape: dims, data }];
      if (data instanceof Float64Array) return [PREFIX + name, { dtype: 'float64', shape: dims, data }];
      throw new FitError(
        'invalid-argument',
        `carry: '${name}' is no floating-point number, as what is carried has to be`,
      );
    });
    return { ...state, statistics: Object.fromEntries([...others, ...own]) };
  }

  /** Goes on from a state. */
  load({ statistics = {} }: TrainingState): void {
    const found = this.#carry.flatMap(([input]) => {
      const stored = Object.hasOwn(statistics, PREFIX + input) ? statistics[PREFIX + input] : undefined;
      if (stored === undefined) return [];
      const { data, shape } = 'data' in stored ? stored : loadTensor(stored);
      return [[input, { data, dims: shape }] as const];
    });
    this.#tensors = found.length === 0 ? undefined : Object.fromEntries(found);
  }

  /** The size of an input, whose free dimensions are those of other inputs. */
  #dimsOf(name: string, batch: Batch): number[] {
    const sizes = new Map(
      this.#inputs
        .flatMap((spec) => {
          const given = Object.hasOwn(batch, spec.name) ? batch[spec.name].dims : [];
          return spec.shape.flatMap((dim, axis) => (typeof dim === 'string' ? [[dim, given.at(axis)] as const] : []));
        })
        .filter(([, size]) => size !== undefined),
    );
    const { shape = [] } = this.#inputs.find((spec) => spec.name === name) ?? {};
    return shape.map((dim) => {
      const size = typeof dim === 'number' ? dim : sizes.get(dim);
      if (size !== undefined) return size;
      throw new FitError(
        'invalid-argument',
        `carry: the dimension '${String(dim)}' of '${name}' is that of no other input, so nothing tells how large it is; fix it`,
      );
    });
  }
}
