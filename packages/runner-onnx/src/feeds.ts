import { closestName } from '@adakit/core';
import type { TargetSpec, TensorSpec } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';

/** Typed arrays that tensors of a batch may hold. */
export type BatchArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** A tensor of a batch: elements in row-major order and dimensions; an `ort.Tensor` is one. */
export interface BatchTensor {
  readonly data: BatchArray;
  readonly dims: readonly number[];
  /** Only needed where the array leaves it open, e.g. `bool` in a Uint8Array. */
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
  return Object.fromEntries(
    specs.map((spec) => {
      const { name, dtype, shape } = spec;
      if (!Object.hasOwn(batch, name))
        fail(`the batch lacks '${name}', a ${dtype} tensor of shape [${shape.join(', ')}]`);
      const { data, dims, type } = batch[name] as BatchTensor;
      const actual = type ?? typeOfArray.find(([array]) => data instanceof array)?.[1] ?? 'of an unknown type';
      if (actual !== dtype) fail(`'${name}' must be ${dtype}, got ${actual}${conversionHint(dtype, name)}`);
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
      const count = dims.reduce((product, size) => product * size, 1);
      if (data.length !== count)
        fail(`'${name}' of shape [${dims.join(', ')}] needs ${count} elements, got ${data.length}`);
      if ('classes' in spec) checkLabels(spec, data, dims, batch);
      return [name, new Tensor(dtype as 'float32', data as Float32Array, dims)];
    }),
  );
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
      `the batch is empty: '${name}' has shape [${dims.join(', ')}]; a step on no samples would move weights by momentum alone`,
    );
  }
  return 1;
}

function conversionHint(dtype: string, name: string): string {
  return dtype === 'int64' ? `; convert with BigInt64Array.from(${/^\w+$/.test(name) ? name : 'values'}, BigInt)` : '';
}

/** A label outside the classes would silently count for nothing in the loss. */
function checkLabels(spec: TargetSpec, data: BatchArray, dims: readonly number[], batch: Batch): void {
  const { name, classes, ignoreIndex, lengths } = spec;
  if (classes === undefined) return;
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
