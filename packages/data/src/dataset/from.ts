import { elementCount, kindOf } from '@adakit/core';
import { DataError, requireFunction, requireList } from '../error.js';
import { Dataset } from './dataset.js';
import { stackField, type DataTensor, type Example } from './example.js';
import { rowsOf } from './rows.js';
import { dropFirst, indexed } from './source.js';

/**
 * Data in arrays: one example for each place of the first axis. `fromArrays({ x: { data, dims: [150, 4] }, labels })`.
 *
 * @param fields tensors, or arrays of numbers, texts or typed arrays' elements, all of the same length
 * @throws DataError `invalid-data` where lengths differ or elements are missing
 */
export function fromArrays(
  fields: Readonly<Record<string, DataTensor | DataTensor['data'] | readonly (number | bigint | boolean | string)[]>>,
): Dataset<Example> {
  if (Object(fields) !== fields) {
    throw new DataError('invalid-argument', `fromArrays takes arrays by name, as { x, labels }, got ${kindOf(fields)}`);
  }
  const columns = Object.entries(fields).map(([name, field]) => ({ name, ...column(name, field) }));
  if (columns.length === 0) throw new DataError('invalid-data', 'fromArrays: give at least one array, by name');
  const [first] = columns;
  for (const { name, length } of columns) {
    if (length === first.length) continue;
    throw new DataError(
      'invalid-data',
      `fromArrays: '${first.name}' has ${first.length} examples and '${name}' has ${length}; they must be the same`,
    );
  }
  const names = columns.map(({ name, row }) => `${name} [${row.join(', ')}]`).join(', ');
  return new Dataset(
    indexed(
      `arrays(${first.length}: ${names})`,
      first.length,
      (index) => Object.fromEntries(columns.map(({ name, at }) => [name, at(index)])),
      (places) => Object.fromEntries(columns.map(({ name, gather }) => [name, gather(places)])),
    ),
  );
}

interface Column {
  readonly length: number;
  /** Dimensions of one element. */
  readonly row: readonly number[];
  readonly at: (index: number) => Example[string];
  readonly gather: (places: readonly number[]) => DataTensor;
}

function column(name: string, field: Parameters<typeof fromArrays>[0][string]): Column {
  if (Array.isArray(field)) {
    const at = (index: number): Example[string] => field[index] as number;
    return { length: field.length, row: [], at, gather: (places) => stackField(name, places.map(at)) };
  }
  const given = ArrayBuffer.isView(field)
    ? { data: field, dims: [field.length] }
    : (field as Partial<DataTensor> | null);
  const { data, dims } = given ?? {};
  if (!ArrayBuffer.isView(data) || dims === undefined) {
    throw new DataError(
      'invalid-data',
      `fromArrays: '${name}' must be an array or a tensor { data, dims }, got ${given?.data === undefined ? kindOf(field) : 'data without dims'}`,
    );
  }
  const count = elementCount(dims);
  if (dims.length === 0 || data.length !== count) {
    throw new DataError(
      'invalid-data',
      `fromArrays: '${name}' of shape [${dims.join(', ')}] ${dims.length === 0 ? 'has no axis that counts examples' : `needs ${count} elements, got ${data.length}`}`,
    );
  }
  const row = dims.slice(1);
  const size = elementCount(row);
  const rowsAt = rowsOf(data, size);
  return {
    length: dims[0],
    row,
    // Views: stacking copies them.
    at: (index) => ({ data: data.subarray(index * size, (index + 1) * size), dims: row }),
    gather: (places) => ({ data: rowsAt(places), dims: [places.length, ...row] }),
  };
}

/** Elements that are in memory. */
export function fromElements<T>(elements: readonly T[]): Dataset<T> {
  requireList('fromElements: elements', elements);
  return new Dataset(indexed(`elements(${elements.length})`, elements.length, (index) => elements[index]));
}

/**
 * A stream: what `open` gives anew for every pass.
 *
 * @param name tells these data from others when a run is resumed: put into it what may change, such as how many there are
 */
export function fromStream<T>(name: string, open: (pass: number) => AsyncIterable<T> | Iterable<T>): Dataset<T> {
  requireFunction('fromStream: open', open);
  return new Dataset({
    description: `stream(${name})`,
    read(pass, from) {
      const elements = async function* (): AsyncGenerator<T> {
        const opened: AsyncIterable<T> | Iterable<T> | undefined = open(pass);
        if (!(Symbol.asyncIterator in Object(opened)) && !(Symbol.iterator in Object(opened))) {
          throw new DataError(
            'invalid-data',
            `stream(${name}): open must give what can be iterated, got ${kindOf(opened)}`,
          );
        }
        yield* opened;
      };
      return dropFirst(elements(), from);
    },
  });
}
