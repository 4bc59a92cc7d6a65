import type { JsonObject, JsonValue } from '@adakit/core';
import { DataError } from '../error.js';
import { isIndexed, type Source } from './source.js';

/** A place in data, as plain JSON to be saved with a training state. */
export interface Position extends JsonObject {
  /** Passes completed. */
  readonly pass: number;
  /** Elements taken of the pass that follows. */
  readonly taken: number;
  /** What the data are and how they were prepared. */
  readonly data: string;
}

/**
 * Takes one element after the other, pass after pass, and knows where it is. What has been read ahead but not taken does
 * not count.
 */
export class Reader<T> {
  readonly #source: Source<T>;
  #pass = 0;
  #taken = 0;
  #elements: AsyncIterator<T> | undefined;
  /** Whether a stream has still to show that it is as long as {@link resume} wants it, by the element before the next one. */
  #unproven = false;

  constructor(source: Source<T>) {
    this.#source = source;
  }

  /** Passes completed. */
  get pass(): number {
    return this.#pass;
  }

  /** Elements taken of the current pass. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * The next element; undefined at the end of a pass, after which the next one begins.
   *
   * @throws DataError `data-mismatch` where a stream ends before the place that was resumed; what reading throws
   */
  async next(): Promise<T | undefined> {
    const elements = (this.#elements ??= this.#open());
    let result: IteratorResult<T, unknown>;
    try {
      if (this.#unproven) await this.#passBefore(elements);
      result = await elements.next();
    } catch (error) {
      // Whoever goes on nevertheless goes on with the same element.
      this.#elements = undefined;
      throw error;
    }
    // It has been closed in the meantime, which moves nothing.
    if (this.#elements !== elements) return undefined;
    if (result.done !== true) {
      this.#taken++;
      return result.value;
    }
    this.#elements = undefined;
    this.#pass++;
    this.#taken = 0;
    return undefined;
  }

  #open(): AsyncIterator<T> {
    return this.#source.read(this.#pass, this.#taken - (this.#unproven ? 1 : 0))[Symbol.asyncIterator]();
  }

  /** Reads the element before the next one. */
  async #passBefore(elements: AsyncIterator<T>): Promise<void> {
    const { done } = await elements.next();
    if (done === true && this.#elements === elements) {
      throw new DataError(
        'data-mismatch',
        `${this.#source.description} ends before the place to go on from, behind ${this.#taken} elements of a pass: ` +
          'the data have become shorter. Go on with the former, or start anew',
      );
    }
    this.#unproven = false;
  }

  /** Where it is: {@link resume} with it, in this process or another, goes on with the element that would be next. */
  position(): Position {
    return { pass: this.#pass, taken: this.#taken, data: this.#source.description };
  }

  /**
   * Goes to a position. Elements before it are not made where the data can be had in any order; a stream is read again up
   * to it, and the next call of {@link next} tells where it ends before.
   *
   * @throws DataError `data-mismatch` for a position in other data, or no position at all
   */
  async resume(position: JsonValue | undefined): Promise<void> {
    const { pass, taken, data } = isPosition(position);
    if (data !== this.#source.description) {
      throw new DataError(
        'data-mismatch',
        'the position belongs to other data, or to the same prepared differently: it was taken in\n' +
          `  ${data}\nand these are\n  ${this.#source.description}\nGo on with the former, or start anew`,
      );
    }
    await this.close();
    [this.#pass, this.#taken] = [pass, taken];
    this.#unproven = taken > 0 && !isIndexed(this.#source);
  }

  /** Lets go of files and of what was read ahead; the next element is read anew. */
  async close(): Promise<void> {
    const elements = this.#elements;
    this.#elements = undefined;
    await elements?.return?.();
  }
}

function isPosition(value: JsonValue | undefined): Position {
  const position = value as Partial<Position> | null | undefined;
  const counts = [position?.pass, position?.taken];
  if (
    counts.every((count) => Number.isSafeInteger(count) && Number(count) >= 0) &&
    typeof position?.data === 'string'
  ) {
    return position as Position;
  }
  throw new DataError(
    'data-mismatch',
    `${JSON.stringify(value)} is no position in data; it must be what position() gave`,
  );
}
