import { kinds, type MaybePromise } from '@adakit/core';
import { DataError, requireCount, requireFunction, requireList, requireOptions, requireSeed } from '../error.js';
import type { Batch, Example } from './example.js';
import {
  batched,
  filtered,
  mapped,
  parts,
  permuted,
  prefetched,
  range,
  renamed,
  windowed,
  type LastBatch,
  type Place,
} from './operations.js';
import { Reader } from './reader.js';
import { indexed, isIndexed, type Source } from './source.js';

/** How samples are shuffled. */
export interface ShuffleOptions {
  /**
   * Of a stream: how many elements are in memory, of which the next one is drawn. Default: 4096. Where elements can be had
   * in any order, all of them are shuffled and this must not be given.
   */
  readonly window?: number;
}

/** How samples become batches. */
export interface BatchOptions {
  /**
   * What becomes of the examples at the end of a pass that do not fill a batch: a smaller batch, the default; nothing; or
   * a full one that begins anew with its own first examples, for models that take batches of one size. Copies count in
   * the loss of that batch, but not in metrics.
   */
  readonly last?: LastBatch;
}

/** How a dataset is divided. */
export interface SplitOptions {
  /** Of the choice. Default: 0. `null`: no choice, parts follow each other as the data do. */
  readonly seed?: number | null;
}

const NAMES = kinds.required(kinds.record("fields by their new names, as { x: 'image' }", kinds.text));

/**
 * Elements to train on, read when they are needed. Immutable: operations make another. Data are in one of two forms:
 * *indexed*, where any element can be had (arrays, folders of images), or *streams*, which are read from the beginning
 * (text files, generators). {@link collect} makes the former of the latter.
 */
export class Dataset<T> implements AsyncIterable<T> {
  readonly #source: Source<T>;

  constructor(source: Source<T>) {
    this.#source = source;
  }

  /** What the data are and how they were prepared, in a line. */
  get description(): string {
    return this.#source.description;
  }

  /** Elements of a pass; undefined where only reading tells. */
  get length(): number | undefined {
    return this.#source.length;
  }

  /** Whether any element can be had without reading those before it. */
  get isIndexed(): boolean {
    return isIndexed(this.#source);
  }

  /**
   * The element at a place of the first pass.
   *
   * @throws DataError `invalid-argument` beyond the end, and of a stream
   */
  async at(index: number): Promise<T> {
    const source = this.#source;
    if (!isIndexed(source)) {
      throw new DataError('invalid-argument', 'a stream has no element at a place; collect() it first');
    }
    if (!Number.isInteger(index) || index < 0 || index >= source.length) {
      throw new DataError('invalid-argument', `there is no element ${index}; there are ${source.length}`);
    }
    return source.at(index, 0);
  }

  /**
   * Every element changed, when it is read.
   *
   * @param change is told the place as well: what is drawn from that alone is drawn again by a resumed run
   * @param name tells these data from others when a run is resumed. Default: it does not matter
   */
  map<U>(change: (element: T, place: Place) => MaybePromise<U>, name?: string): Dataset<U> {
    requireFunction('map: change', change);
    return new Dataset(mapped(this.#source, change, name));
  }

  /**
   * Examples with other names: `data.rename({ x: 'image', labels: 'digit' })`. Fields that are not named are left out. Batches of
   * arrays are still put together at once, which `map` would not know how to.
   *
   * @param names by the new name, that of the field
   * @throws DataError `unknown-column`, when applied
   */
  rename(this: Dataset<Example>, names: Readonly<Record<string, string>>): Dataset<Example> {
    const problem = NAMES(names);
    if (problem !== undefined) throw new DataError('invalid-argument', `rename: names ${problem}`);
    return new Dataset(renamed(this.#source, names));
  }

  /** The elements that pass a test; a stream. */
  filter(test: (element: T) => boolean): Dataset<T> {
    requireFunction('filter: test', test);
    return new Dataset(filtered(this.#source, test));
  }

  /**
   * Another order in every pass, the same for the same seed (Philox 4×32-10 by position). A random permutation of indexed
   * data; of a stream, a draw from a window.
   *
   * @param seed a whole number in [0, 2³²)
   * @throws DataError `invalid-argument`
   */
  shuffle(seed: number, options: ShuffleOptions = {}): Dataset<T> {
    requireOptions('shuffle', options, { window: kinds.count(2) });
    const { window } = options;
    requireSeed(seed);
    const source = this.#source;
    if (isIndexed(source)) {
      if (window !== undefined) {
        throw new DataError('invalid-argument', 'shuffle: a window is for streams; these data are shuffled as a whole');
      }
      return new Dataset(permuted(source, seed));
    }
    const size = window ?? 4096;
    return new Dataset(windowed(source, seed, size));
  }

  /**
   * Examples put together, `size` at a time.
   *
   * @throws DataError `invalid-argument`
   */
  batch(this: Dataset<Example>, size: number, options: BatchOptions = {}): Dataset<Batch> {
    requireOptions('batch', options, { last: kinds.oneOf('keep', 'drop', 'pad') });
    const { last = 'keep' } = options;
    requireCount('batch: size', size, 1);
    return new Dataset(batched(this.#source, size, last));
  }

  /** The first `count`. */
  take(count: number): Dataset<T> {
    requireCount('take: count', count, 0);
    return new Dataset(range(this.#source, 0, count));
  }

  /** All but the first `count`. */
  skip(count: number): Dataset<T> {
    requireCount('skip: count', count, 0);
    return new Dataset(range(this.#source, count, Infinity));
  }

  /**
   * Parts without common elements, the same in every pass: `split([0.9, 0.1])`.
   *
   * @param shares of the elements, adding up to 1; of a stream they hold on average
   * @throws DataError `invalid-argument`
   */
  split(shares: readonly number[], options: SplitOptions = {}): Dataset<T>[] {
    requireOptions('split', options, { seed: (seed) => (seed === null ? undefined : kinds.seed(seed)) });
    const { seed = 0 } = options;
    requireList('split: shares', shares);
    return parts(this.#source, shares, seed ?? undefined).map((part) => new Dataset(part));
  }

  /** The same, prepared up to `count` elements ahead, while a step computes elsewhere: from when it has begun. */
  prefetch(count: number): Dataset<T> {
    requireCount('prefetch: count', count, 1);
    return new Dataset(prefetched(this.#source, count));
  }

  /** All elements of the first pass in memory: then they can be shuffled as a whole. */
  async collect(): Promise<Dataset<T>> {
    const elements: T[] = [];
    for await (const element of this) elements.push(element);
    return new Dataset(
      indexed(`${this.description} | collect(${elements.length})`, elements.length, (index) => elements[index]),
    );
  }

  /** To take elements one by one, and to know the position. */
  reader(): Reader<T> {
    return new Reader(this.#source);
  }

  /** The elements of a pass, from the one at `from` on. @throws DataError `invalid-argument` */
  read(pass = 0, from = 0): AsyncIterable<T> {
    requireCount('read: pass', pass, 0);
    requireCount('read: from', from, 0);
    return this.#source.read(pass, from);
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.read()[Symbol.asyncIterator]();
  }
}
