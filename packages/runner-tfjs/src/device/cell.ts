import type { FloatArray } from '@adakit/core';
import { sameShape } from '@adakit/core/runner';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';

/** Memory of another device, which a cell's elements can be in. */
export interface Elsewhere {
  /** The elements, without a copy. Ask before every use. */
  view(): FloatArray;
  write(values: FloatArray | number): void;
  free(): void;
}

/** What a cell's elements are in. */
export type Content =
  /** One number everywhere. */
  | { readonly kind: 'number'; readonly value: number }
  /** Elements that no backend has been given yet. */
  | { readonly kind: 'elements'; readonly elements: Float32Array<ArrayBuffer> }
  /** Elements in the memory of another device. */
  | { readonly kind: 'elsewhere'; readonly place: Elsewhere }
  /** A kept tensor. `owner`: who alone looks at its memory, and so may write it in place. */
  | { readonly kind: 'tensor'; readonly tensor: Tensor; readonly owner: object | undefined }
  /** Somebody else's tensor. */
  | { readonly kind: 'lent'; readonly tensor: Tensor }
  | { readonly kind: 'variable'; readonly tensor: Variable };

/**
 * A buffer of a TensorFlow.js device. Tensors cannot be changed, so a buffer is a place for one. It needs no backend until
 * its first use in a kernel; call {@link tensor} and what builds on it inside `tf.tidy`.
 */
export class Cell {
  readonly length: number;
  #content: Content = { kind: 'number', value: 0 };

  /** @param source a number of elements, all zero; or a variable, which stays its owner's */
  constructor(source: number | Variable) {
    if (typeof source === 'number') this.length = source;
    else {
      this.length = source.size;
      this.#content = { kind: 'variable', tensor: source };
    }
  }

  /** @internal For loops over memory. */
  get content(): Content {
    return this.#content;
  }

  /** A copy of what it is known to hold without a look at any backend. */
  get knownElements(): FloatArray | undefined {
    const content = this.#content;
    switch (content.kind) {
      case 'number':
        return new Float32Array(this.length).fill(content.value);
      case 'elements':
        return content.elements.slice();
      case 'elsewhere':
        return content.place.view().slice();
      default:
        return undefined;
    }
  }

  /** Replaces all elements. */
  write(values: FloatArray | number): void {
    const content = this.#content;
    if (content.kind === 'variable') {
      const { shape } = content.tensor;
      this.set(typeof values === 'number' ? tf.fill(shape, values) : tf.tensor(Float32Array.from(values), shape));
    } else if (content.kind === 'elsewhere') {
      content.place.write(values);
    } else {
      this.replace(
        typeof values === 'number'
          ? { kind: 'number', value: values }
          : { kind: 'elements', elements: Float32Array.from(values) },
      );
    }
  }

  /** The elements as a tensor of `shape`, to be read only. */
  tensor(shape: readonly number[]): Tensor {
    const content = this.#content;
    const dimensions = [...shape];
    switch (content.kind) {
      case 'variable':
      case 'lent':
        return shaped(content.tensor, shape);
      case 'number':
        return this.#keep(tf.fill(dimensions, content.value));
      case 'elements':
        return this.#keep(tf.tensor(content.elements, dimensions));
      case 'elsewhere':
        return this.#keep(tf.tensor(Float32Array.from(content.place.view()), dimensions));
      case 'tensor':
        // Whoever gets it may go on using its memory.
        return this.#keep(shaped(content.tensor, shape));
    }
  }

  /** As {@link tensor}, for readers that are done with it before anything else happens. */
  glance(shape: readonly number[]): Tensor {
    const content = this.#content;
    return content.kind === 'tensor' ? shaped(content.tensor, shape) : this.tensor(shape);
  }

  /**
   * Replaces the tensor by `value`, which becomes this object's unless it is a variable's.
   *
   * @param owner who alone knows its memory
   */
  set(value: Tensor, owner?: object): void {
    if (this.#content.kind === 'variable') {
      const { tensor: variable } = this.#content;
      variable.assign(shaped(value, variable.shape));
      return;
    }
    this.#keep(value, owner);
  }

  /** Refers to somebody else's tensor, until {@link dispose} or the next value. */
  lend(value: Tensor): void {
    this.replace({ kind: 'lent', tensor: value });
  }

  /** Frees what is this object's; its elements are zero then, and a variable keeps its own. */
  dispose(): void {
    if (this.#content.kind !== 'variable') this.replace({ kind: 'number', value: 0 });
  }

  /** @internal For loops over memory, which have the elements there already. */
  replace(next: Content): void {
    const before = this.#content;
    this.#content = next;
    if (before.kind === 'elsewhere') before.place.free();
    if (before.kind === 'tensor' && !(next.kind === 'tensor' && next.tensor === before.tensor)) before.tensor.dispose();
  }

  #keep(value: Tensor, owner?: object): Tensor {
    this.replace({ kind: 'tensor', tensor: tf.keep(value), owner });
    return value;
  }
}

/** A tensor of these elements in another shape. */
function shaped(tensor: Tensor, shape: readonly number[]): Tensor {
  return sameShape(tensor.shape, shape) ? tensor : tf.reshape(tensor, [...shape]);
}
