import { elementCount } from '@adakit/core';
import { isDifferentiable, type Graph, type TensorSpec, type Value } from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from '../error.js';
import { toFeeds, type Batch } from '../feeds.js';
import { randomIndex } from './random.js';

export type Tensors = Readonly<Record<string, Tensor>>;

/** Lengths tried for free dimensions, until the model runs. Audio models want a frame at least. */
const LENGTHS = [2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 640, 1];

/**
 * The same for images, which networks halve several times. Pooling windows that reach beyond a smaller image make ONNX
 * Runtime compute what no specification says.
 */
const IMAGE_LENGTHS = [32, 64, 128, 224, 256, 320, 512, 640, 16, 8, 4, 2];

/** Tried for dimensions that come first in some input. Recurrent state may leave only 1. */
const BATCHES = [2, 1];

export interface InputChoice {
  /** Runs the model on inputs; throws where it does not run on them. */
  readonly run: (inputs: Tensors) => Promise<Tensors>;
  readonly graph: Graph;
  readonly specs: readonly TensorSpec[];
  readonly random: () => number;
}

/**
 * Inputs that the model runs on and gives numbers for: those given, and random ones for the others.
 *
 * @throws TrainingError `invalid-feed` when there are none, or for a given input that the model does not have
 */
export async function chooseInputs(choice: InputChoice, given: Batch = {}): Promise<Tensors> {
  const { run, graph, specs, random } = choice;
  for (const name of Object.keys(given)) {
    if (!specs.some((spec) => spec.name === name)) {
      throw new TrainingError(
        'invalid-feed',
        `the model has no input '${name}'; it has ${specs.map((spec) => `'${spec.name}'`).join(', ')}`,
      );
    }
  }
  const fixed = toFeeds(
    specs.filter(({ name }) => Object.hasOwn(given, name)),
    given,
  );
  const missing = specs
    .filter(({ name }) => !Object.hasOwn(fixed, name))
    .map((spec) => ({ spec, values: valuesOf(graph, spec.name) }));
  let failure: unknown;
  for (const size of sizesToTry(specs, fixed)) {
    const drawn = missing.map(({ spec, values }) => [spec.name, draw(spec, size, values, random)] as const);
    const feeds = { ...Object.fromEntries(drawn), ...fixed };
    try {
      const outputs = await run(feeds);
      const empty = Object.entries(outputs).find(([, { size, type }]) => size === 0 && type.startsWith('float'));
      if (empty === undefined) return feeds;
      failure ??= `the output '${empty[0]}' is empty`;
    } catch (error) {
      failure ??= error;
    }
  }
  throw new TrainingError(
    'invalid-feed',
    'the model does not run on random inputs; give inputs, or sizes of its free dimensions. ' +
      `The first attempt said: ${String(failure)}`,
  );
}

/** Ways to choose the size of each free dimension. */
function sizesToTry(specs: readonly TensorSpec[], fixed: Tensors): readonly ((dim: string) => number)[] {
  const free = new Set(specs.flatMap(({ shape }) => shape.filter((dim) => typeof dim === 'string')));
  // What inputs were given for decides for the others.
  const known = new Map<string, number>();
  for (const { name, shape } of specs) {
    shape.forEach((dim, axis) => {
      if (typeof dim === 'string' && Object.hasOwn(fixed, name)) known.set(dim, fixed[name].dims[axis]);
    });
  }
  const first = new Set(specs.flatMap(({ shape: [dim], shape: { length } }) => (length > 1 ? [dim] : [])));
  const left = [...free].filter((dim) => !known.has(dim));
  if (left.length === 0) return [(dim) => known.get(dim) ?? 1];
  const batches = left.some((dim) => first.has(dim)) ? BATCHES : [1];
  const areImages = specs.some(
    ({ shape }) => shape.length > 3 && shape.slice(-2).some((dim) => typeof dim === 'string'),
  );
  const lengths = left.every((dim) => first.has(dim)) ? [1] : areImages ? IMAGE_LENGTHS : LENGTHS;
  return batches.flatMap((batch) =>
    lengths.map((length) => (dim: string) => known.get(dim) ?? (first.has(dim) ? batch : length)),
  );
}

/** What an integer input may hold: a number below `below`, or exactly `value`. */
export interface IntegerValues {
  readonly below: number;
  readonly value?: number;
}

/** A random tensor of a dtype and shape. */
export function draw(
  { name, dtype, shape }: TensorSpec,
  sizeOf: (dim: string) => number,
  { below, value }: IntegerValues,
  random: () => number,
): Tensor {
  const dims = shape.map((dim) => (typeof dim === 'string' ? sizeOf(dim) : dim));
  const size = elementCount(dims);
  const fill = <T>(make: () => T): T[] => Array.from({ length: size }, make);
  const index = (least: number) => fill(() => value ?? randomIndex(random, Math.max(below, least)));
  switch (dtype) {
    case 'float32':
      return new Tensor('float32', Float32Array.from(fill(random)), dims);
    case 'float64':
      return new Tensor('float64', Float64Array.from(fill(random)), dims);
    case 'int64':
      return new Tensor('int64', BigInt64Array.from(index(1), BigInt), dims);
    case 'uint64':
      return new Tensor('uint64', BigUint64Array.from(index(1), BigInt), dims);
    case 'int32':
      return new Tensor('int32', Int32Array.from(index(1)), dims);
    case 'uint32':
      return new Tensor('uint32', Uint32Array.from(index(1)), dims);
    case 'int16':
      return new Tensor('int16', Int16Array.from(index(1)), dims);
    case 'uint16':
      return new Tensor('uint16', Uint16Array.from(index(1)), dims);
    case 'bool':
      return new Tensor('bool', Uint8Array.from(fill(() => 1)), dims);
    // Pixels, as a rule.
    case 'uint8':
      return new Tensor('uint8', Uint8Array.from(index(256)), dims);
    case 'int8':
      return new Tensor('int8', Int8Array.from(index(128)), dims);
    default:
      throw new TrainingError('invalid-feed', `the input '${name}' is ${dtype}; give its values`);
  }
}

/** Passed through on the way from an input to where it is used. */
const TRANSPARENT = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Transpose', 'Gather']);

/**
 * What an integer input of a graph may hold: the number it is compared with, which is what switches the model between
 * its variants (a sampling rate), or as many values as the smallest table that it looks up has rows.
 */
export function valuesOf(graph: Graph, name: string): IntegerValues {
  const input = graph.value(name);
  if (isDifferentiable(input?.dtype)) return { below: 2 };
  const reached = new Set<Value | undefined>([input]);
  let below = Infinity;
  let value: number | undefined;
  for (const { key, inputs, outputs, attributes } of graph.nodes) {
    if (TRANSPARENT.has(key) && reached.has(inputs[0])) for (const output of outputs) reached.add(output);
    if (key === 'Gather' && reached.has(inputs[1])) {
      const shape = inputs[0]?.shape ?? [];
      const axis = attributes.int('axis', 0);
      const rows = shape[axis < 0 ? axis + shape.length : axis];
      if (typeof rows === 'number') below = Math.min(below, rows);
    }
    if (key === 'Equal' && inputs.some((each) => reached.has(each)) && input?.shape?.every((dim) => dim === 1)) {
      const constants = inputs.flatMap((each) => each?.constant?.toNumbers() ?? each?.contents ?? []);
      value ??= constants.find((each) => typeof each === 'number');
    }
  }
  // Masks and lengths, which look nothing up, are mostly 0 or 1.
  if (Number.isFinite(below)) return { below };
  return value === undefined ? { below: 2 } : { below: 2, value };
}
