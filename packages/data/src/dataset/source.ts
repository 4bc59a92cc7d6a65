import type { MaybePromise } from '@adakit/core';
import type { Batch } from './example.js';

/** Where elements come from: what operations are made of. */
export interface Source<T> {
  /** What it is and how it was made, in one line: data that differ in it are no data to go on with. */
  readonly description: string;
  /** Elements of a pass, where that is known without reading. */
  readonly length?: number;
  /** The element at a place, where elements can be had in any order. */
  readonly at?: (index: number, pass: number) => MaybePromise<T>;
  /** Examples at several places put together, where that takes less than to have each of them. */
  readonly gather?: Gather | undefined;
  /** The elements of a pass in order, from the one at `from` on. */
  readonly read: (pass: number, from: number) => AsyncIterable<T>;
}

/** Puts the examples at several places of a pass together. */
export type Gather = (places: readonly number[], pass: number) => Batch;

/** A source whose elements can be had in any order. */
export interface IndexedSource<T> extends Source<T> {
  readonly length: number;
  readonly at: (index: number, pass: number) => MaybePromise<T>;
}

export function isIndexed<T>(source: Source<T>): source is IndexedSource<T> {
  return source.at !== undefined && source.length !== undefined;
}

export function indexed<T>(
  description: string,
  length: number,
  at: (index: number, pass: number) => MaybePromise<T>,
  gather?: Gather,
): IndexedSource<T> {
  return {
    description,
    length,
    at,
    gather,
    read(pass, from) {
      let index = from;
      // No generator: one has the queue of promises go round three times for each element.
      const next = async (): Promise<IteratorResult<T, undefined>> => {
        if (index >= length) return { done: true, value: undefined };
        const value = at(index++, pass);
        return { done: false, value: value instanceof Promise ? await value : value };
      };
      return { [Symbol.asyncIterator]: () => ({ next }) };
    },
  };
}

/** A gather of the same elements at other places. @param placeOf where the element at a place is in the source */
export function gatherElsewhere(
  { gather }: Source<unknown>,
  placeOf: (index: number, pass: number) => number,
): Gather | undefined {
  if (gather === undefined) return undefined;
  return (places, pass) =>
    gather(
      places.map((place) => placeOf(place, pass)),
      pass,
    );
}

/** Continues with a value that may have to be waited for, at once where it need not. */
export function after<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** All of them, waiting only where one has to be waited for. */
export function all<T>(values: readonly MaybePromise<T>[]): MaybePromise<T[]> {
  return values.some((value) => value instanceof Promise) ? Promise.all(values) : (values as T[]);
}

/** Without the first `count`. */
export async function* dropFirst<T>(elements: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let index = 0;
  for await (const element of elements) if (index++ >= count) yield element;
}
