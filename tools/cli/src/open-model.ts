import { parseModel, readModel, specialize, Tensor, withFreeBatch, type Model } from '@adakit/onnx';
import type { SpecializeOptions } from './specialize-options.js';
import { STANDARD } from './standard-streams.js';
import { UsageError } from './usage-error.js';

/**
 * Reads a model, from standard input where the path is `-`, and applies the options.
 *
 * @throws UsageError for a value that the input cannot take; OnnxError as `readModel`, `withFreeBatch` and `specialize`
 */
export async function openModel(
  path: string,
  { freeBatch, dim, fix }: SpecializeOptions,
  standardInput: AsyncIterable<Uint8Array> = process.stdin,
): Promise<Model> {
  const read = path === STANDARD ? parseModel(await bytesOf(standardInput), 'standard input') : await readModel(path);
  const model = freeBatch === true ? withFreeBatch(read) : read;
  const inputs = Object.fromEntries(Object.entries(fix).map(([name, value]) => [name, constant(model, name, value)]));
  return specialize(model, { dims: dim, inputs });
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A number in the dtype and shape of an input. */
function constant({ graph }: Model, name: string, value: number): Tensor {
  const type = graph.input.find((input) => input.name === name)?.type;
  // `specialize` says what is wrong with a name that the model does not have.
  if (type?.value.case !== 'tensorType') return Tensor.scalar('float32', value);
  const { elemType, shape } = type.value.value;
  const dtype = TYPES.get(elemType);
  if (dtype === undefined) throw new UsageError(`--fix ${name}: only numbers can be given`);
  if (!dtype.startsWith('float') && !Number.isInteger(value)) {
    throw new UsageError(`--fix ${name}: the input is ${dtype}, and ${value} is not a whole number`);
  }
  const dims = shape?.dim.map((each) => (each.value.case === 'dimValue' ? Number(each.value.value) : 1)) ?? [];
  return Tensor.filled(dtype, dims, value);
}

/** By ONNX code: FLOAT, INT32, INT64, BOOL, DOUBLE. */
const TYPES: ReadonlyMap<number, 'float32' | 'int32' | 'int64' | 'bool' | 'float64'> = new Map([
  [1, 'float32'],
  [6, 'int32'],
  [7, 'int64'],
  [9, 'bool'],
  [11, 'float64'],
] as const);
