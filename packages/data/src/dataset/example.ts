import { suggestion, type NumericArray } from '@adakit/core';
import { DataError } from '../error.js';

/** A tensor: elements in row-major order, and its dimensions. */
export interface DataTensor {
  readonly data: NumericArray;
  readonly dims: readonly number[];
}

/** What a field of an example may be. */
export type Value = number | bigint | boolean | string | DataTensor;

/** One example: values by field. */
export type Example = Readonly<Record<string, Value>>;

/** Several examples: tensors by field, whose first axis counts examples. */
export type Batch = Readonly<Record<string, DataTensor>>;

export function isTensor(value: unknown): value is DataTensor {
  return typeof value === 'object' && value !== null && 'data' in value && 'dims' in value;
}

/** What a row or an example has under a name. @throws DataError `unknown-column` */
export function fieldOf<V>(fields: Readonly<Record<string, V>>, name: string): V {
  if (Object.hasOwn(fields, name)) return fields[name];
  const known = Object.keys(fields);
  throw new DataError(
    'unknown-column',
    `there is no column '${name}'${suggestion(name, known)} (there are: ${known.join(', ')})`,
  );
}

/** An array of the same type, zero. */
export function emptyLike<A extends NumericArray>(like: A, length: number): A {
  const Constructor = like.constructor as new (length: number) => A;
  return new Constructor(length);
}

/** Copies elements; both arrays have the same type. */
export function copyInto(target: NumericArray, source: NumericArray, offset: number): void {
  (target as Float32Array).set(source as Float32Array, offset);
}

/**
 * Puts examples together. Tensors [d…] become [n, d…] of the same type; numbers float32 [n], whole numbers given as bigint
 * int64, true and false uint8.
 *
 * @throws DataError `invalid-data` for texts, for fields that some examples lack, and for tensors of different shapes
 */
export function stack(examples: readonly Example[]): Batch {
  if (examples.length === 0) throw new DataError('invalid-data', 'there are no examples to make a batch of');
  const [first] = examples;
  for (const example of examples) {
    const strange = Object.keys(example).find((name) => !Object.hasOwn(first, name));
    if (strange !== undefined) throw lacking(strange);
  }
  return Object.fromEntries(
    Object.keys(first).map((name) => [
      name,
      stackField(
        name,
        examples.map((example) => {
          if (!Object.hasOwn(example, name)) throw lacking(name);
          return example[name];
        }),
      ),
    ]),
  );
}

function lacking(name: string): DataError {
  return new DataError(
    'invalid-data',
    `some examples have a field '${name}' and others do not; map them to the same fields`,
  );
}

/** Puts the values of one field together, as {@link stack} does. @throws DataError `invalid-data` */
export function stackField(name: string, values: readonly Value[]): DataTensor {
  const [first] = values;
  if (isTensor(first)) return stackTensors(name, first, values);
  const type = typeof first;
  const other = values.find((value) => typeof value !== type);
  if (other !== undefined) {
    const given = isTensor(other) ? 'tensors' : `${typeof other}s`;
    throw new DataError('invalid-data', `field '${name}' holds ${type}s and ${given}; map it to one kind`);
  }
  const dims = [values.length];
  switch (type) {
    case 'number':
      return { data: Float32Array.from(values as number[]), dims };
    case 'bigint':
      return { data: BigInt64Array.from(values as bigint[]), dims };
    case 'boolean':
      return { data: Uint8Array.from(values, (value) => (value === true ? 1 : 0)), dims };
    default:
      throw new DataError(
        'invalid-data',
        `field '${name}' is text, such as ${JSON.stringify(String(first).slice(0, 40))}, which no tensor holds; ` +
          `map it to a number first, e.g. with columns({ ${JSON.stringify(name)}: { from: '${name}', classes: […] } }), or leave it out`,
      );
  }
}

function stackTensors(name: string, first: DataTensor, values: readonly Value[]): DataTensor {
  const size = first.data.length;
  const data = emptyLike(first.data, size * values.length);
  values.forEach((value, i) => {
    if (!isTensor(value) || value.data.constructor !== first.data.constructor) {
      throw new DataError('invalid-data', `field '${name}' is of another element type in some examples; map it to one`);
    }
    if (value.dims.length !== first.dims.length || value.dims.some((dim, axis) => dim !== first.dims[axis])) {
      throw new DataError(
        'invalid-data',
        `field '${name}' has shape [${first.dims.join(', ')}] in one example and [${value.dims.join(', ')}] in another; ` +
          'crop, resize or pad it to one shape first',
      );
    }
    copyInto(data, value.data, i * size);
  });
  return { data, dims: [values.length, ...first.dims] };
}
