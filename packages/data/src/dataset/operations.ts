import { kindOf, type MaybePromise } from '@adakit/core';
import { DataError } from '../error.js';
import { fieldOf, stack, type Batch, type Example } from './example.js';
import { Draws, permutation } from './random-order.js';
import {
  after,
  all,
  dropFirst,
  gatherElsewhere,
  indexed,
  isIndexed,
  type IndexedSource,
  type Source,
} from './source.js';

/** Where an element is: in which pass, counted from 0, and where in the data that are changed. */
export interface Place {
  readonly pass: number;
  readonly index: number;
}

/** Every element changed. @param name what is done, as a description says it */
export function mapped<T, U>(
  source: Source<T>,
  change: (element: T, place: Place) => MaybePromise<U>,
  name?: string,
): Source<U> {
  const { length } = source;
  const description = name === undefined ? source.description : `${source.description} | ${name}`;
  if (isIndexed(source)) {
    return indexed(description, source.length, (index, pass) =>
      after(source.at(index, pass), (element) => change(element, { pass, index })),
    );
  }
  return {
    description,
    ...(length !== undefined && { length }),
    async *read(pass, from) {
      let index = from;
      for await (const element of source.read(pass, from)) yield await change(element, { pass, index: index++ });
    },
  };
}

/** Those that pass a test. */
export function filtered<T>(source: Source<T>, test: (element: T) => boolean): Source<T> {
  return {
    description: `${source.description} | filter`,
    read(pass, from) {
      const passing = async function* (): AsyncGenerator<T> {
        for await (const element of source.read(pass, 0)) if (test(element)) yield element;
      };
      return dropFirst(passing(), from);
    },
  };
}

/** All elements in an order of their own for every pass. */
export function permuted<T>(source: IndexedSource<T>, seed: number): IndexedSource<T> {
  let current: { readonly pass: number; readonly order: Uint32Array } | undefined;
  const placeOf = (index: number, pass: number): number => {
    if (current?.pass !== pass) {
      current = { pass, order: permutation(source.length, new Draws('order', seed, pass)) };
    }
    return current.order[index];
  };
  return elsewhere(source, `${source.description} | shuffle(seed ${seed})`, source.length, placeOf);
}

/** The same elements at other places. @param placeOf where the element at a place is in the source */
function elsewhere<T>(
  source: IndexedSource<T>,
  description: string,
  length: number,
  placeOf: (index: number, pass: number) => number,
): IndexedSource<T> {
  return indexed(
    description,
    length,
    (index, pass) => source.at(placeOf(index, pass), pass),
    gatherElsewhere(source, placeOf),
  );
}

/**
 * The fields that are asked for, under other names.
 *
 * @param names by the new name, that of the field
 */
export function renamed(source: Source<Example>, names: Readonly<Record<string, string>>): Source<Example> {
  const entries = Object.entries(names);
  const choose = <V>(fields: Readonly<Record<string, V>>): Record<string, V> =>
    Object.fromEntries(entries.map(([name, field]) => [name, fieldOf(fields, field)]));
  const { gather } = source;
  const description = `rename(${entries.map(([name, field]) => `${name}: ${field}`).join(', ')})`;
  return { ...mapped(source, choose, description), gather: gather && ((places, pass) => choose(gather(places, pass))) };
}

/** Each next element drawn from a window that is filled up in order. */
export function windowed<T>(source: Source<T>, seed: number, size: number): Source<T> {
  return {
    ...source,
    description: `${source.description} | shuffle(seed ${seed}, window ${size})`,
    read(pass, from) {
      const shuffled = async function* (): AsyncGenerator<T> {
        const draws = new Draws('window', seed, pass);
        const window: T[] = [];
        let drawn = 0;
        for await (const element of source.read(pass, 0)) {
          if (window.length < size) {
            window.push(element);
            continue;
          }
          const place = draws.at(drawn++, size);
          const next = window[place];
          window[place] = element;
          yield next;
        }
        while (window.length > 0) {
          const place = draws.at(drawn++, window.length);
          yield window[place];
          window[place] = window[window.length - 1];
          window.pop();
        }
      };
      return dropFirst(shuffled(), from);
    },
  };
}

/** What becomes of the examples at the end that do not fill a batch. */
export type LastBatch = 'keep' | 'drop' | 'pad';

/** How many examples of a batch with copies that fill it up are none; kept beside, so that batches stay tensors by name. */
const genuine = new WeakMap<Batch, number>();

/** A batch of a list whose first `count` are no copies. */
function counted(batch: Batch, { length }: readonly unknown[], count: number): Batch {
  if (length > count) genuine.set(batch, count);
  return batch;
}

/**
 * Examples in a batch, without the copies that `last: 'pad'` fills it up with; by the first axis of its first tensor where
 * it was not made by `batch()`.
 */
export function sampleCount(batch: Batch): number {
  if (Object(batch) !== batch)
    throw new DataError('invalid-argument', `sampleCount takes a batch, got ${kindOf(batch)}`);
  const known = genuine.get(batch);
  if (known !== undefined) return known;
  for (const name in batch) {
    const { dims } = Object(batch[name]) as Partial<Batch[string]>;
    if (dims === undefined) {
      throw new DataError('invalid-argument', `sampleCount takes a batch of tensors, '${name}' is none`);
    }
    return dims[0] ?? 1;
  }
  return 0;
}

/** Batches of examples: gathered at once where the source can, of single ones elsewhere. */
export function batched(source: Source<Example>, size: number, last: LastBatch): Source<Batch> {
  const description = `${source.description} | batch(${size}, ${last})`;
  const { length: examples } = source;
  const length =
    examples === undefined ? undefined : last === 'drop' ? Math.floor(examples / size) : Math.ceil(examples / size);
  if (length === 0 && examples !== 0) {
    throw new DataError(
      'invalid-argument',
      `there are ${examples} examples, too few for one batch of ${size}; make batches smaller`,
    );
  }
  const complete = (list: Example[]): Batch => {
    const { length: count } = list;
    fill(list);
    return counted(stack(list), list, count);
  };
  const fill = (list: unknown[]): void => {
    if (last === 'pad') for (let i = 0; list.length < size; i++) list.push(list[i]);
  };
  if (isIndexed(source) && length !== undefined) {
    const { gather } = source;
    return indexed(description, length, (index, pass) => {
      const count = Math.min(size, source.length - index * size);
      if (gather !== undefined) {
        const places: number[] = [];
        for (let i = 0; i < count; i++) places.push(index * size + i);
        fill(places);
        return counted(gather(places, pass), places, count);
      }
      return after(all(Array.from({ length: count }, (_, i) => source.at(index * size + i, pass))), complete);
    });
  }
  return {
    description,
    ...(length !== undefined && { length }),
    async *read(pass, from) {
      let list: Example[] = [];
      for await (const example of source.read(pass, from * size)) {
        list.push(example);
        if (list.length < size) continue;
        yield complete(list);
        list = [];
      }
      if (list.length > 0 && last !== 'drop') yield complete(list);
    },
  };
}

/** From the element at `first` to before the one at `end`. */
export function range<T>(source: Source<T>, first: number, end: number): Source<T> {
  const description = `${source.description} | range(${first}, ${end})`;
  if (isIndexed(source)) {
    const count = Math.max(0, Math.min(end, source.length) - first);
    return elsewhere(source, description, count, (index) => first + index);
  }
  return {
    description,
    ...(source.length !== undefined && { length: Math.max(0, Math.min(end, source.length) - first) }),
    async *read(pass, from) {
      let index = first + from;
      if (index >= end) return;
      for await (const element of source.read(pass, index)) {
        yield element;
        if (++index >= end) return;
      }
    },
  };
}

/** Parts of given shares, chosen at random, the same ones in every pass. */
export function parts<T>(source: Source<T>, shares: readonly number[], seed: number | undefined): Source<T>[] {
  const total = shares.reduce((sum, share) => sum + share, 0);
  if (shares.length < 2 || shares.some((share) => !(share > 0)) || Math.abs(total - 1) > 1e-9) {
    throw new DataError(
      'invalid-argument',
      `split: shares must be positive and add up to 1, got [${shares.join(', ')}]`,
    );
  }
  const ends = shares.map((_, i) => shares.slice(0, i + 1).reduce((sum, share) => sum + share, 0));
  const named = (i: number): string => `${source.description} | split([${shares.join(', ')}], seed ${seed})[${i}]`;
  if (isIndexed(source)) {
    const { length } = source;
    const places = ends.map((end, i) => (i === ends.length - 1 ? length : Math.round(end * length)));
    const order = seed === undefined ? undefined : permutation(length, new Draws('split', seed, 0));
    return places.map((end, i) => {
      const first = i === 0 ? 0 : places[i - 1];
      return elsewhere(source, named(i), end - first, (index) => order?.[first + index] ?? first + index);
    });
  }
  if (seed === undefined) {
    throw new DataError(
      'invalid-argument',
      'split: of a stream, whose end is not known, only a random choice can be split off; give a seed',
    );
  }
  return shares.map((_, part) => ({
    description: named(part),
    read(pass, from) {
      const chosen = async function* (): AsyncGenerator<T> {
        const draws = new Draws('split', seed, 0);
        let index = 0;
        for await (const element of source.read(pass, 0)) {
          const place = draws.at(index++, 2 ** 32) / 2 ** 32;
          const found = ends.findIndex((end) => place < end);
          if ((found < 0 ? shares.length - 1 : found) === part) yield element;
        }
      };
      return dropFirst(chosen(), from);
    },
  }));
}

/**
 * The same, prepared up to `count` elements ahead: after who takes an element has begun with it, so that what is computed
 * elsewhere need not wait for the next.
 */
export function prefetched<T>(source: Source<T>, count: number): Source<T> {
  return {
    ...source,
    async *read(pass, from) {
      const iterator = source.read(pass, from)[Symbol.asyncIterator]();
      /** Elements that the source owes. */
      let owed = 0;
      const next = (): Promise<IteratorResult<T, unknown>> => {
        const promise = iterator.next();
        owed++;
        const arrived = (): void => {
          owed--;
        };
        // Its error is thrown when its turn comes.
        promise.then(arrived, arrived);
        return promise;
      };
      const ahead: Promise<IteratorResult<T, unknown>>[] = [];
      let [ended, planned] = [false, false];
      const prepare = (): void => {
        planned = false;
        while (!ended && ahead.length < count) ahead.push(next());
      };
      try {
        for (;;) {
          const result = await (ahead.shift() ?? next());
          if (result.done === true) return;
          if (!planned) soon(prepare);
          planned = true;
          yield result.value;
        }
      } finally {
        ended = true;
        const closed = iterator.return?.();
        // What is owed may never come, and nobody waits for it any more.
        if (owed > 0) closed?.catch(() => undefined);
        else await closed;
      }
    },
  };
}

/** After what is under way, and what follows from it at once. */
function soon(action: () => void): void {
  // Browsers have no setImmediate, and wait longer with setTimeout.
  if (typeof setImmediate === 'function') setImmediate(action);
  else setTimeout(action);
}
