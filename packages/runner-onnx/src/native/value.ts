import type { NumericArray } from '@adakit/core';
import { Handle } from './handle.js';
import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';

/** Element types of tensors, by their names in JavaScript's ONNX Runtime, with ONNX's codes. */
const TYPES = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int8: { code: 3, bytes: 1 },
  uint16: { code: 4, bytes: 2 },
  int16: { code: 5, bytes: 2 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  bool: { code: 9, bytes: 1 },
  float16: { code: 10, bytes: 2 },
  float64: { code: 11, bytes: 8 },
  uint32: { code: 12, bytes: 4 },
  uint64: { code: 13, bytes: 8 },
} as const;

export type ElementType = keyof typeof TYPES;

/** The code of a type whose tensors hold texts. */
export const STRING_CODE = 8;

const NAMES = new Map<number, ElementType>(
  (Object.keys(TYPES) as ElementType[]).map((name) => [TYPES[name].code, name]),
);

/** @throws NativeError `unsupported` */
export function elementType(code: number, name: string): ElementType {
  const type = NAMES.get(code);
  if (type !== undefined) return type;
  throw new NativeError('unsupported', `'${name}' has ONNX's element type ${code}, which has no tensor in JavaScript`);
}

export function isElementType(type: string): type is ElementType {
  return Object.hasOwn(TYPES, type);
}

/** ONNX's code of a type. */
export function typeCode(type: ElementType): number {
  return TYPES[type].code;
}

export function byteCount(type: ElementType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, TYPES[type].bytes);
}

interface Described {
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** A tensor that runs can be bound to. */
export type Value = HostValue | DeviceValue;

/**
 * A tensor in memory of ours, which it keeps: ONNX Runtime and the foreign function interface hold on to nothing. Runs
 * read and write it where it lies.
 */
export class HostValue implements Described {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** The elements. */
  readonly view: NumericArray;
  readonly #handle: Handle;
  readonly #library: NativeLibrary;
  readonly #address: bigint;

  /** @throws NativeError `detached-memory`, `wrong-shape` for a view of another size */
  constructor(library: NativeLibrary, type: ElementType, shape: readonly number[], view: NumericArray) {
    const wanted = byteCount(type, shape);
    this.#library = library;
    this.#address = library.address(view);
    if (view.byteLength !== wanted) {
      // A detached view is of no bytes.
      if (view.byteLength === 0) throw detached(type, shape);
      throw new NativeError(
        'wrong-shape',
        `a ${type} tensor of shape [${shape.join(', ')}] has ${wanted} bytes, but its memory has ${view.byteLength}`,
      );
    }
    if (wanted > 0 && this.#address === 0n) throw detached(type, shape);
    this.type = type;
    this.shape = shape;
    this.view = view;
    const address = library.make(
      'CreateTensorWithDataAsOrtValue',
      library.hostMemory,
      // Nothing is read there, but it has to be somewhere.
      wanted === 0 ? NOWHERE : this.#address,
      wanted,
      BigInt64Array.from(shape, BigInt),
      shape.length,
      TYPES[type].code,
    );
    this.#handle = new Handle('a tensor', address, library.releaseBy('ReleaseValue'));
  }

  /** Whether the view still is what the tensor was made for: WebAssembly memory that grows leaves views of no bytes. */
  get isCurrent(): boolean {
    return this.#library.address(this.view) === this.#address;
  }

  /** @throws NativeError `released`, `detached-memory` */
  get address(): bigint {
    this.requireUsable();
    return this.#handle.address;
  }

  /** @throws NativeError `released`, `detached-memory` */
  requireUsable(): void {
    if (!this.isCurrent) throw detached(this.type, this.shape);
    this.#handle.requireUsable();
  }

  release(): void {
    this.#handle.release();
  }
}

const NOWHERE = new BigUint64Array(1);

function detached(type: ElementType, shape: readonly number[]): NativeError {
  return new NativeError(
    'detached-memory',
    `the memory of a ${type} tensor of shape [${shape.join(', ')}] is detached: it was transferred, or its WebAssembly ` +
      'memory has grown; take a new view',
  );
}

/** A tensor in a device's memory. */
export class DeviceValue implements Described {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly #library: NativeLibrary;
  readonly #handle: Handle;
  #data: bigint | undefined;

  /** @param allocator which must outlive it */
  constructor(library: NativeLibrary, allocator: Handle, type: ElementType, shape: readonly number[]) {
    this.type = type;
    this.shape = shape;
    this.#library = library;
    const address = library.make(
      'CreateTensorAsOrtValue',
      allocator.address,
      BigInt64Array.from(shape, BigInt),
      shape.length,
      TYPES[type].code,
    );
    const release = library.releaseBy('ReleaseValue');
    this.#handle = new Handle('a tensor on a device', address, release).freedWhenForgotten(allocator);
  }

  /** @throws NativeError `released` */
  get address(): bigint {
    return this.#handle.address;
  }

  /** @throws NativeError `released` */
  requireUsable(): void {
    this.#handle.requireUsable();
  }

  /** Where its elements are, in the device's addresses. */
  get data(): bigint {
    this.requireUsable();
    this.#data ??= this.#library.make('GetTensorMutableData', this.address);
    return this.#data;
  }

  release(): void {
    this.#handle.release();
  }
}
