import { closestName, elementCount, type NumericArray } from '@adakit/core';
import { bfloat16ToFloat, halfToFloat, type TargetSpec, type TensorSpec } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';

/** Typed arrays that tensors of a batch may hold. */
export type BatchArray = NumericArray;

/** A tensor of a batch: elements in row-major order and dimensions; an `ort.Tensor` is one. */
export interface BatchTensor {
  readonly data: BatchArray;
  readonly dims: readonly number[];
  /** Only needed where the array leaves it open: `bool` in a Uint8Array, `float16` or `bfloat16` in a Uint16Array. */
  readonly type?: string;
}

/** Inputs and targets by name. */
export type Batch = Readonly<Record<string, BatchTensor | Tensor>>;

const typeOfArray: readonly [new (length: number) => BatchArray, string][] = [
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [Int8Array, 'int8'],
  [Int16Array, 'int16'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
  [Uint16Array, 'uint16'],
  [Uint32Array, 'uint32'],
  [BigUint64Array, 'uint64'],
];

/**
 * Checks a batch against what the graph takes and makes the runtime's tensors of it, without copying elements.
 *
 * @throws TrainingError `invalid-feed` or `label-out-of-range`, naming the tensor
 */
export function toFeeds(specs: readonly (TensorSpec | TargetSpec)[], batch: Batch): Record<string, Tensor> {
  const fail = (problem: string): never => {
    throw new TrainingError('invalid-feed', problem);
  };
  requireTensors(batch, fail);
  const names = specs.map(({ name }) => name);
  for (const name of Object.keys(batch)) {
    if (names.includes(name)) continue;
    const suggestion = closestName(name, names);
    fail(
      `the batch has a tensor '${name}', which the model does not take; it takes ${names.join(', ')}` +
        (suggestion === undefined ? '' : ` (did you mean '${suggestion}'?)`),
    );
  }
  /** What each free dimension turned out to be, and where. */
  const free = new Map<string, { size: number; name: string }>();
  const feeds = Object.fromEntries(
    specs.map((spec) => {
      const { name, dtype, shape } = spec;
      if (!Object.hasOwn(batch, name))
        fail(`the batch lacks '${name}', a ${dtype} tensor of shape [${shape.join(', ')}]`);
      const { dims } = batch[name];
      const { data, type: actual } = elementsFor(dtype, batch[name] as BatchTensor);
      if (actual !== dtype) fail(`'${name}' must be ${dtype}, got ${actual}${conversionHint(dtype, actual, name)}`);
      if (dtype === 'bool') requireTruths(name, data, fail);
      const wanted = `'${name}' must have shape [${shape.join(', ')}], got [${dims.join(', ')}]`;
      if (dims.length !== shape.length) fail(wanted);
      shape.forEach((dim, axis) => {
        if (typeof dim === 'number') {
          if (dims[axis] !== dim) fail(wanted);
          return;
        }
        const known = free.get(dim);
        if (known === undefined) free.set(dim, { size: dims[axis], name });
        else if (known.size !== dims[axis]) fail(`${wanted}, but ${dim} is ${known.size} in '${known.name}'`);
      });
      const count = elementCount(dims);
      if (data.length !== count)
        fail(`'${name}' of shape [${dims.join(', ')}] needs ${count} elements, got ${data.length}`);
      const given = batch[name];
      const isReady = given instanceof Tensor && given.type === dtype;
      return [name, isReady ? given : new Tensor(dtype as 'float32', data as Float32Array, dims)];
    }),
  );
  // Only now is the size of every free dimension known. Counts say which labels are padding.
  const targets = specs.filter((spec): spec is TargetSpec => 'countsUpTo' in spec || 'classes' in spec);
  for (const spec of targets) checkCounts(spec, batch, (dim) => free.get(dim)?.size);
  for (const spec of targets) checkLabels(spec, batch);
  return feeds;
}

/**
 * The elements of a tensor and their type. Half precision is widened where the graph takes float32, as it does where the file
 * has half precision: these are the same numbers.
 */
function elementsFor(wanted: string, { data, type }: BatchTensor): { data: BatchArray; type: string } {
  const own = typeOfArray.find(([array]) => data instanceof array)?.[1] ?? `an array of kind ${kindOf(data)}`;
  // What is written in bits of whole numbers says so itself.
  const actual = type === undefined || !isHeldBy(type, data) ? own : type;
  if (wanted !== 'float32' || (actual !== 'float16' && actual !== 'bfloat16')) return { data, type: actual };
  // Newer runtimes have a Float16Array, whose elements are numbers already.
  if (!(data instanceof Uint16Array)) return { data: Float32Array.from(data as ArrayLike<number>), type: wanted };
  return { data: Float32Array.from(data, actual === 'float16' ? halfToFloat : bfloat16ToFloat), type: wanted };
}

/**
 * Samples in a batch: the size of the first free dimension of the inputs, 1 where there is none.
 *
 * @throws TrainingError `empty-batch`
 */
export function sampleCount(specs: readonly TensorSpec[], feeds: Readonly<Record<string, Tensor>>): number {
  for (const { name, shape } of specs) {
    const axis = shape.findIndex((dim) => typeof dim === 'string');
    if (axis < 0) continue;
    const { dims } = feeds[name];
    if (dims[axis] > 0) return dims[axis];
    throw new TrainingError(
      'empty-batch',
      `the batch is empty: '${name}' has shape [${dims.join(', ')}]; no samples have no loss, and a step on them would move weights by momentum alone`,
    );
  }
  return 1;
}

/** Whether elements of a type come in such an array. Half precision has two forms, and newer types are the runtime's to know. */
function isHeldBy(type: string, data: BatchArray): boolean {
  if (type === 'bool') return data instanceof Uint8Array;
  const array = typeOfArray.find(([, name]) => name === type)?.[0];
  return array === undefined || data instanceof array;
}

/** For callers without types: everything in a batch is a tensor. */
function requireTensors(batch: unknown, fail: (problem: string) => never): void {
  if (typeof batch !== 'object' || batch === null)
    fail(`a batch is an object of tensors by name, got ${kindOf(batch)}`);
  for (const [name, tensor] of Object.entries(batch)) {
    if (tensor instanceof Tensor) continue;
    const { data, dims } = (tensor ?? {}) as Partial<BatchTensor>;
    if (data !== undefined && Array.isArray(dims)) continue;
    fail(`'${name}' must be a tensor, { data, dims } with a typed array and a list of sizes, got ${kindOf(tensor)}`);
  }
}

/** The runtime would compute with other bytes, a mask of 255, as if they were numbers. */
function requireTruths(name: string, data: BatchArray, fail: (problem: string) => never): void {
  const at = data.findIndex((byte) => byte > 1);
  if (at >= 0) fail(`'${name}' holds ${data[at]} at position ${at}; a bool is 0 or 1`);
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

function conversionHint(dtype: string, actual: string, name: string): string {
  if (dtype === 'float32' && actual === 'uint16')
    return "; say type: 'float16' or 'bfloat16' if these are the bits of one";
  if (dtype === 'bool' && actual === 'uint8') return "; say type: 'bool' beside data and dims";
  const values = /^\w+$/.test(name) ? name : 'values';
  if (dtype === 'int64') return `; convert with BigInt64Array.from(${values}, BigInt)`;
  const array = typeOfArray.find(([, type]) => type === dtype)?.[0];
  return array === undefined || actual === 'int64' || actual === 'uint64'
    ? ''
    : `; convert with ${array.name}.from(${values})`;
}

/** A count beyond what it counts makes the runtime fail, where the size of that is known when it runs only. */
function checkCounts(
  { name, countsUpTo }: TargetSpec,
  batch: Batch,
  sizeOf: (dim: string) => number | undefined,
): void {
  if (countsUpTo === undefined) return;
  const most = typeof countsUpTo === 'number' ? countsUpTo : sizeOf(countsUpTo);
  Array.from(batch[name].data as ArrayLike<number | bigint>, Number).forEach((count, i) => {
    if (count >= 0 && count <= (most ?? Infinity)) return;
    throw new TrainingError(
      'invalid-feed',
      `'${name}' holds ${count} at position ${i}; ` +
        (most === undefined
          ? 'it counts elements and cannot be negative'
          : `it counts elements of a dimension of ${most} (${countsUpTo})`),
    );
  });
}

/** A label outside the classes would silently count for nothing in the loss. */
function checkLabels({ name, classes, ignoreIndex, lengths }: TargetSpec, batch: Batch): void {
  if (classes === undefined) return;
  const { data, dims } = batch[name] as BatchTensor;
  const counts = lengths !== undefined && Object.hasOwn(batch, lengths) ? batch[lengths].data : undefined;
  const longest = dims[1] ?? 1;
  for (let i = 0; i < data.length; i++) {
    if (counts !== undefined && i % longest >= Number(counts[Math.floor(i / longest)])) continue;
    const label = Number(data[i]);
    if ((label < 0 || label >= classes) && label !== ignoreIndex) {
      throw new TrainingError(
        'label-out-of-range',
        `'${name}' holds ${label} at position ${i}; labels must be in [0, ${classes}), the number of classes the model has`,
      );
    }
  }
}
