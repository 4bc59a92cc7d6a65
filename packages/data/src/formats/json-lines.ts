import type { Dataset } from '../dataset/dataset.js';
import { isTensor, type DataTensor, type Example, type Value } from '../dataset/example.js';
import { fromStream } from '../dataset/from.js';
import { DataError } from '../error.js';
import { identityOf, requireSource, textPieces, type TextSource } from './text-source.js';

/**
 * One JSON object a line, as they are read. Arrays of numbers, nested to any depth, become float32 tensors.
 *
 * @param name for messages, and to tell the data from others when a run is resumed
 * @throws DataError `invalid-data`, when read, naming the line
 */
export function jsonLines(source: TextSource, name = 'json-lines'): Dataset<Example> {
  return jsonLinesOf(source, name);
}

/** As {@link jsonLines}. @param bytes how large what a function opens is, where that is known */
export function jsonLinesOf(source: TextSource, name: string, bytes?: number): Dataset<Example> {
  requireSource(name, source);
  return fromStream(identityOf(name, source, bytes), async function* () {
    let number = 0;
    for await (const line of lines(source)) {
      number++;
      if (line.trim() !== '') yield parsed(line, `${name}, line ${number}`);
    }
  });
}

async function* lines(source: TextSource): AsyncGenerator<string> {
  let pending = '';
  for await (const piece of textPieces(source)) {
    const parts = (pending + piece).split('\n');
    pending = parts.pop() ?? '';
    yield* parts;
  }
  if (pending !== '') yield pending;
}

function parsed(line: string, where: string): Example {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new DataError('invalid-data', `${where}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError('invalid-data', `${where}: must be an object, {"name": …}`);
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, asValue(field, `${where}: '${name}'`)]),
  );
}

/**
 * A field as JSON or a database gives it: numbers, texts, or nested arrays, which become a float32 tensor.
 *
 * @throws DataError `invalid-data`
 */
export function asValue(field: unknown, where: string): Value {
  if (['number', 'bigint', 'boolean', 'string'].includes(typeof field) || isTensor(field)) return field as Value;
  if (ArrayBuffer.isView(field))
    return { data: field as DataTensor['data'], dims: [(field as DataTensor['data']).length] };
  if (!Array.isArray(field))
    throw new DataError(
      'invalid-data',
      `${where} is ${field === null ? 'null' : `of type ${typeof field}`}; it must be a number, text, true, false or an array of numbers`,
    );
  const dims: number[] = [];
  for (let inner: unknown = field; Array.isArray(inner); inner = inner[0]) dims.push(inner.length);
  const elements = field.flat(dims.length - 1) as unknown[];
  const isRegular = (part: unknown, axis: number): boolean =>
    axis === dims.length
      ? typeof part === 'number' || typeof part === 'bigint'
      : Array.isArray(part) && part.length === dims[axis] && part.every((inner) => isRegular(inner, axis + 1));
  if (!isRegular(field, 0))
    throw new DataError('invalid-data', `${where} must be an array of numbers with rows of equal length`);
  return { data: Float32Array.from(elements, Number), dims };
}
