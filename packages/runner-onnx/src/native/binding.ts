import { elementCount } from '@adakit/core';
import { Tensor } from 'onnxruntime-node';
import { Handle } from './handle.js';
import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';
import type { NativeSession } from './native-session.js';
import { tensorInfo, type TensorInfo } from './signature.js';
import { byteCount, elementType, HostValue, STRING_CODE, typeCode, type Value } from './value.js';

/**
 * Which tensors a session's runs read and write. It keeps them: the library does not. Tensors in the host's memory belong
 * to the binding once bound, and are released when others take their place.
 */
export class Binding {
  readonly #library: NativeLibrary;
  readonly #session: NativeSession;
  readonly #handle: Handle;
  readonly #runOptions: Handle;
  readonly #inputs = new Map<string, Value>();
  /** In the order bound; `null` for those that are made anew. */
  readonly #outputs = new Map<string, Value | null>();
  /** Other providers copy inputs when they are bound. */
  readonly #readsInPlace: boolean;

  constructor(session: NativeSession, config: Readonly<Record<string, string>>) {
    const { library } = session;
    this.#library = library;
    this.#session = session;
    this.#readsInPlace = session.provider.name === 'cpu';
    const free = releaseOf(library, this.#inputs, this.#outputs);
    const address = library.make('CreateIoBinding', session.address);
    this.#handle = new Handle('a binding', address, free).freedWhenForgotten(session.handle);
    const options = library.make('CreateRunOptions');
    this.#runOptions = new Handle('run options', options, library.releaseBy('ReleaseRunOptions')).freedWhenForgotten();
    for (const [key, value] of Object.entries(config)) library.call('AddRunConfigEntry', this.runOptions, key, value);
  }

  get address(): bigint {
    return this.#handle.address;
  }

  get runOptions(): bigint {
    return this.#runOptions.address;
  }

  /** What runs read, apart from constants of the model. */
  get inputBytes(): number {
    return [...this.#inputs.values()].reduce((sum, { type, shape }) => sum + byteCount(type, shape), 0);
  }

  hasOutputs(names: readonly string[]): boolean {
    return (
      this.#outputs.size === 0 || (names.length === this.#outputs.size && names.every((n) => this.#outputs.has(n)))
    );
  }

  /** Whether runs read this tensor already, from where its elements are now. */
  reads(name: string, { type, dims, data }: Tensor): boolean {
    const bound = this.#inputs.get(name);
    return (
      this.#readsInPlace &&
      bound instanceof HostValue &&
      bound.view === data &&
      isLike(bound, type, dims) &&
      bound.isCurrent
    );
  }

  /** @throws NativeError `unknown-name`, `wrong-type`, `wrong-shape` */
  bindInput(name: string, value: Value): void {
    check('input', name, value, this.#session.inputs);
    const bound = this.#inputs.get(name);
    if (this.#readsInPlace && isSame(bound, value)) {
      if (bound !== value) release(value);
      return;
    }
    this.#library.call('BindInput', this.address, name, value.address);
    if (bound !== value) release(bound);
    this.#inputs.set(name, value);
  }

  /** @throws NativeError `unknown-name`, `wrong-type`, `wrong-shape` */
  bindOutput(name: string, value: Value): void {
    check('output', name, value, this.#session.outputs);
    const bound = this.#outputs.get(name) ?? undefined;
    if (isSame(bound, value)) {
      if (bound !== value) release(value);
      return;
    }
    this.#library.call('BindOutput', this.address, name, value.address);
    if (bound !== value) release(bound);
    this.#outputs.set(name, value);
  }

  /** Has a new tensor made for an output in the next run. */
  bindNewOutput(name: string): void {
    if (!this.#session.outputs.has(name)) throw unknown('output', name, this.#session.outputs);
    // What a run has made would be written again by the next one, whatever its size.
    this.#library.call('BindOutputToDevice', this.address, name, this.#library.hostMemory);
    release(this.#outputs.get(name) ?? undefined);
    this.#outputs.set(name, null);
  }

  /** @throws NativeError `missing-input`, which the library would find only in the middle of a run */
  requireComplete(): void {
    const missing = [...this.#session.inputs.keys()].filter((name) => !this.#inputs.has(name));
    if (missing.length === 0) {
      for (const value of [...this.#inputs.values(), ...this.#outputs.values()]) value?.requireUsable();
      return;
    }
    throw new NativeError(
      'missing-input',
      `the model takes ${missing.map((name) => `'${name}'`).join(', ')}, which nothing has been given for`,
    );
  }

  /** Copies of what the last run has made. */
  newOutputs(): Record<string, Tensor> {
    const names = [...this.#outputs.keys()];
    if (![...this.#outputs.values()].includes(null)) return {};
    const library = this.#library;
    library.call('GetBoundOutputValues', this.address, library.allocator, list, count);
    const [address] = list;
    const bytes = library.bytes(address, 8 * names.length);
    const values = new BigUint64Array(bytes.buffer, bytes.byteOffset, names.length);
    try {
      return Object.fromEntries(
        names.flatMap((name, i) =>
          this.#outputs.get(name) === null ? [[name, readTensor(library, values[i], name)] as const] : [],
        ),
      );
    } finally {
      for (const value of values) library.release('ReleaseValue', value);
      library.call('AllocatorFree', library.allocator, address);
    }
  }

  /** Doing so again is harmless. */
  release(): void {
    this.#handle.release();
    this.#runOptions.release();
    this.#inputs.clear();
    this.#outputs.clear();
  }
}

// Where the library answers, at once.
const list = new BigUint64Array(1);
const count = new BigUint64Array(1);

/** How a binding is freed, with the tensors that belong to it. */
function releaseOf(
  library: NativeLibrary,
  inputs: ReadonlyMap<string, Value>,
  outputs: ReadonlyMap<string, Value | null>,
): (address: bigint) => void {
  return (address) => {
    library.release('ReleaseIoBinding', address);
    for (const value of [...inputs.values(), ...outputs.values()]) release(value ?? undefined);
  };
}

/** Tensors on a device belong to whoever made them. */
function release(value: Value | undefined): void {
  if (value instanceof HostValue) value.release();
}

/** Whether a tensor stands for the same memory. */
function isSame(bound: Value | undefined, value: Value): boolean {
  if (bound === value) return true;
  return (
    bound instanceof HostValue &&
    value instanceof HostValue &&
    bound.view === value.view &&
    bound.isCurrent &&
    isLike(bound, value.type, value.shape)
  );
}

function isLike(value: Value, type: string, shape: readonly number[]): boolean {
  return (
    value.type === type && value.shape.length === shape.length && value.shape.every((size, i) => size === shape[i])
  );
}

function check(
  kind: 'input' | 'output',
  name: string,
  { type, shape }: Value,
  infos: ReadonlyMap<string, TensorInfo>,
): void {
  const info = infos.get(name);
  if (info === undefined) throw unknown(kind, name, infos);
  if (info.code !== typeCode(type)) {
    const wanted =
      info.code === undefined ? 'no tensor' : info.code === STRING_CODE ? 'string' : elementType(info.code, name);
    throw new NativeError('wrong-type', `the ${kind} '${name}' is ${wanted}, got ${type}`);
  }
  // An unknown rank looks like none; ONNX Runtime decides then.
  if (info.shape.length === 0) return;
  const fits = info.shape.length === shape.length && info.shape.every((size, axis) => size < 0 || size === shape[axis]);
  if (fits) return;
  const wanted = info.shape.map((size) => (size < 0 ? '?' : size)).join(', ');
  throw new NativeError('wrong-shape', `the ${kind} '${name}' has shape [${wanted}], got [${shape.join(', ')}]`);
}

function unknown(kind: string, name: string, infos: ReadonlyMap<string, TensorInfo>): NativeError {
  return new NativeError('unknown-name', `the model has no ${kind} '${name}'; it has ${[...infos.keys()].join(', ')}`);
}

/** A copy of a tensor of the library. */
function readTensor(library: NativeLibrary, value: bigint, name: string): Tensor {
  const { code, shape } = tensorInfo(library, value, name);
  if (code === STRING_CODE) return new Tensor('string', readTexts(library, value, shape), shape);
  const type = elementType(code, name);
  const bytes = library.bytes(library.make('GetTensorMutableData', value), byteCount(type, shape));
  const wide = new Tensor(type as 'uint8', arrayOf(type, bytes) as Uint8Array, shape);
  return wide;
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} as const;

/** Elements over bytes that are nobody else's. */
function arrayOf(type: keyof typeof ARRAYS, { buffer, byteOffset, byteLength }: Uint8Array): object {
  const array = ARRAYS[type];
  return new array(buffer as ArrayBuffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT);
}

function readTexts(library: NativeLibrary, value: bigint, shape: readonly number[]): string[] {
  const count = elementCount(shape);
  const content = new Uint8Array(Number(library.make('GetStringTensorDataLength', value)));
  const starts = new BigUint64Array(count);
  library.call('GetStringTensorContent', value, content, content.length, starts, count);
  const decoder = new TextDecoder();
  return Array.from(starts, (start, i) =>
    decoder.decode(content.subarray(Number(start), i + 1 < count ? Number(starts[i + 1]) : content.length)),
  );
}
