import { halfToFloat, type DType, type Tensor } from '@adakit/onnx';
import * as ort from 'onnxruntime-node';

// Warnings of the environment do not heed what sessions say.
ort.env.logLevel = 'error';

/** Dtypes that ONNX Runtime's JavaScript API does not take. */
const NOT_FEEDABLE: ReadonlySet<DType> = new Set<DType>(['bfloat16', 'complex64', 'complex128']);

export function isFeedable({ dtype }: Tensor): boolean {
  return !NOT_FEEDABLE.has(dtype);
}

/** What a run gave: numbers, or texts. */
export interface Result {
  readonly dtype: string;
  readonly dims: readonly number[];
  readonly data: readonly number[] | readonly string[];
}

export type Results = ReadonlyMap<string, Result>;

/** A model in stock ONNX Runtime. */
export class Runtime {
  readonly #session: ort.InferenceSession;

  private constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  static async open(bytes: Uint8Array): Promise<Runtime> {
    // Threads cost more than graphs of a few nodes.
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4, intraOpNumThreads: 1 });
    return new Runtime(session);
  }

  /** Runs a model once. */
  static async run(bytes: Uint8Array, feeds: ReadonlyMap<string, Tensor>): Promise<Results> {
    const runtime = await Runtime.open(bytes);
    try {
      return await runtime.run(feeds);
    } finally {
      await runtime.close();
    }
  }

  /** @param feeds what the model does not take is left out */
  async run(feeds: ReadonlyMap<string, Tensor>): Promise<Results> {
    const used = this.#session.inputNames.flatMap((name) => {
      const tensor = feeds.get(name);
      return tensor === undefined ? [] : [[name, toOrt(tensor)] as const];
    });
    // Per run, the level of the session does not count.
    const results = await this.#session.run(Object.fromEntries(used), { logSeverityLevel: 4 });
    return new Map(Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor)]));
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}

function toOrt({ dtype, dims, data }: Tensor): ort.Tensor {
  if (!ArrayBuffer.isView(data)) return new ort.Tensor('string', data.map(decodeText), dims);
  return new ort.Tensor(dtype as 'float32', data as Float32Array, dims);
}

function fromOrt({ type, dims, data }: ort.Tensor): Result {
  if (type === 'string') return { dtype: type, dims, data: data as unknown as string[] };
  return { dtype: type, dims, data: Array.from(data as ArrayLike<number>, type === 'float16' ? halfToFloat : Number) };
}

/** A tensor as runs give them. */
export function resultOf(tensor: Tensor): Result {
  const { dtype, dims, data } = tensor;
  return { dtype, dims, data: ArrayBuffer.isView(data) ? tensor.toNumbers() : data.map(decodeText) };
}

const decodeText = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The tolerance of the ONNX backend tests. */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-7;
/**
 * An element that cancels is off by up to (n + 1)·2⁻²⁴ of the sum of magnitudes, for n terms. The longest sums of the data
 * that cancel are those of Fourier transforms, over 16 complex products; the sum of magnitudes is their largest element.
 */
const ROUNDINGS = (2 * 16 + 1) * 2 ** -24;

/** How a result is not what it should be, or undefined. */
export function differenceOf({ dtype, dims, data }: Result, expected: Result): string | undefined {
  if (dtype !== expected.dtype) return `is ${dtype}, not ${expected.dtype}`;
  if (dims.join() !== expected.dims.join()) return `has shape [${dims.join()}], not [${expected.dims.join()}]`;
  // The data were computed in float32, whose roundings in a sum are as large as its largest terms ask for.
  const absolute = Math.max(ABSOLUTE, ROUNDINGS * largest(expected.data));
  const wrong = expected.data.findIndex((value, i) => !isClose(data[i], value, absolute));
  return wrong < 0 ? undefined : `has ${data[wrong]} for ${expected.data[wrong]} at element ${wrong}`;
}

function largest(values: Result['data']): number {
  return (values as readonly (number | string)[]).reduce<number>(
    (most, value) => (typeof value === 'number' && Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
    0,
  );
}

function isClose(actual: number | string, expected: number | string, absolute: number): boolean {
  if (typeof actual === 'string' || typeof expected === 'string') return actual === expected;
  if (!Number.isFinite(expected)) return Object.is(actual, expected);
  return Math.abs(actual - expected) <= absolute + RELATIVE * Math.abs(expected);
}

/** How the results of a run are not what they should be, or undefined. */
export function firstDifference(results: Results, expected: Results): string | undefined {
  for (const [name, wanted] of expected) {
    const result = results.get(name);
    const difference = result === undefined ? 'is missing' : differenceOf(result, wanted);
    if (difference !== undefined) return `'${name}' ${difference}`;
  }
  return undefined;
}
