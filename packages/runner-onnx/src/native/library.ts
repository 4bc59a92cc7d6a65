import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { NumericArray } from '@adakit/core';
import type * as Koffi from 'koffi';
import {
  API,
  API_VERSION,
  type ArgumentKind,
  type CallArguments,
  type CallName,
  type Calls,
  type CheckedCall,
  type ResultKind,
} from './api-table.js';
import { NativeError } from './native-error.js';
import { silenceTelemetry } from '../runtime/telemetry.js';

const load = createRequire(import.meta.url);

/**
 * Calls run on stacks of the foreign function interface, which are small by default: kernels with large frames overrun
 * 80 KiB. ONNX Runtime's own threads have 8 MiB.
 */
const STACK_BYTES = 8 * 2 ** 20;

const WARNING = 2;
/** `OrtDeviceAllocator` and `OrtMemTypeDefault`. */
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;

/** What is used of other libraries, without koffi's types: koffi is optional, and declaration files must do without. */
export interface ForeignLibrary {
  func(name: string, result: string, parameters: string[]): (...args: unknown[]) => unknown;
}

/** ONNX Runtime's C API in this process. */
export class NativeLibrary {
  /** Where the library's file is. */
  readonly path: string;
  /** Of ONNX Runtime, e.g. `1.30.0`. */
  readonly version: string;
  /** Why calls cannot run on another thread; undefined where they can. */
  readonly onlySync: string | undefined;
  /**
   * What all sessions share, once it is there. The library registers its operators in it, which takes 30 ms: on another thread,
   * where that works, while a model is read.
   */
  readonly ready: Promise<bigint>;
  /** Describes the host's memory. */
  readonly hostMemory: bigint;
  /** The library's own allocator of host memory. */
  readonly allocator: bigint;
  readonly #koffi: typeof Koffi;
  readonly #calls: Calls;
  /** Where calls that are made at once put what they make: new memory for each would cost more than the call. */
  readonly #out = new BigUint64Array(1);
  #env: bigint | undefined;

  /**
   * Loads a library and reads its table.
   *
   * @param apiVersion of the table that is asked for
   * @throws NativeError `unavailable`
   */
  static open(path: string, apiVersion = API_VERSION): NativeLibrary {
    const koffi = loadKoffi();
    if (!existsSync(path)) {
      throw new NativeError(
        'unavailable',
        `there is no ONNX Runtime library at ${path}; ` +
          'give libraryPath, or use a platform that onnxruntime-node has a library for',
      );
    }
    const onlySync = configure(koffi);
    let library: Koffi.LibraryHandle;
    try {
      library = koffi.load(path);
    } catch (error) {
      throw new NativeError('unavailable', `${path} does not load: ${firstLine(error)}`, { cause: error });
    }
    kept.push(library);
    let base: bigint;
    try {
      base = library.func('OrtGetApiBase', 'void *', [])() as bigint;
    } catch (error) {
      throw new NativeError('unavailable', `${path} is not ONNX Runtime: ${firstLine(error)}`, { cause: error });
    }
    let functions: readonly bigint[];
    try {
      functions = readPointers(koffi, base, 2);
    } catch (error) {
      const why = `memory of libraries cannot be read in this kind of Node.js: ${firstLine(error)}`;
      throw new NativeError('unavailable', why, { cause: error });
    }
    const [getApi, getVersion] = functions;
    const version = callable(koffi, getVersion, 'str', [])() as string;
    const table = callable(koffi, getApi, 'void *', ['uint32_t'])(apiVersion) as bigint | null;
    if (table === null) {
      throw new NativeError(
        'unavailable',
        `${path} is ONNX Runtime ${version}, which has no version ${apiVersion} of its API; take 1.${apiVersion} or newer`,
      );
    }
    return new NativeLibrary(koffi, path, { calls: readCalls(koffi, table), version, onlySync });
  }

  // Private for the same reason.
  private constructor(
    koffi: typeof Koffi,
    path: string,
    { calls, version, onlySync }: { calls: Calls; version: string; onlySync: string | undefined },
  ) {
    this.#koffi = koffi;
    this.#calls = calls;
    this.path = path;
    this.version = version;
    this.onlySync = onlySync;
    this.ready = this.#makeEnv();
    // Whoever makes a session is told of a failure.
    this.ready.catch(() => undefined);
    this.hostMemory = this.make('CreateMemoryInfo', 'Cpu', DEVICE_ALLOCATOR, 0, DEFAULT_MEMORY);
    this.allocator = this.make('GetAllocatorWithDefaultOptions');
  }

  /** What {@link ready} gives, where it is there by now. */
  get env(): bigint | undefined {
    return this.#env;
  }

  /** Makes a call at once. @throws NativeError with ONNX Runtime's text */
  call<N extends CheckedCall>(name: N, ...args: CallArguments<N>): void {
    const call = this.#calls[name] as (...args: CallArguments<N>) => bigint | null;
    const failure = this.#failure(name, call(...args));
    if (failure !== undefined) throw failure;
  }

  /** Makes a call on another thread. */
  callAsync<N extends CheckedCall>(name: N, ...args: CallArguments<N>): Promise<void> {
    const call = this.#calls[name] as unknown as {
      async(...args: [...CallArguments<N>, (error: unknown, status: bigint | null) => void]): void;
    };
    inFlight.add(args);
    return new Promise((fulfil, reject) => {
      call.async(...args, (error, status) => {
        inFlight.delete(args);
        const failure = error instanceof Error ? error : this.#failure(name, status);
        if (failure === undefined) fulfil();
        else reject(failure);
      });
    });
  }

  /** Makes a call whose last argument is where a pointer or a size comes back. */
  make<N extends CheckedCall>(name: N, ...args: WithoutLast<CallArguments<N>>): bigint {
    this.call(name, ...([...args, this.#out] as unknown as CallArguments<N>));
    return this.#out[0];
  }

  async makeAsync<N extends CheckedCall>(name: N, ...args: WithoutLast<CallArguments<N>>): Promise<bigint> {
    const out = new BigUint64Array(1);
    await this.callAsync(name, ...([...args, out] as unknown as CallArguments<N>));
    return out[0];
  }

  /** Frees an object by a call that cannot fail. */
  release(name: ReleaseCall, address: bigint): void {
    this.#calls[name](address);
  }

  /** As {@link release}, for a handle: it refers to nothing but the library. */
  releaseBy(name: ReleaseCall): (address: bigint) => void {
    return (address) => {
      this.release(name, address);
    };
  }

  /** Where the elements of a view are; 0 where it has none, or its memory has moved on. */
  address(view: NumericArray): bigint {
    return view.byteLength === 0 ? 0n : this.#koffi.address(view);
  }

  /** A copy of memory of the library. */
  bytes(address: bigint, length: number): Uint8Array {
    return length === 0 ? new Uint8Array(0) : readBytes(this.#koffi, address, length);
  }

  /** The text that ends with a zero at an address. */
  text(address: bigint): string {
    return this.#koffi.decode.string(address);
  }

  /** Another library, for what is no call of ONNX Runtime. It is kept for ever. */
  load(path: string): ForeignLibrary {
    const library = this.#koffi.load(path);
    kept.push(library);
    return library;
  }

  async #makeEnv(): Promise<bigint> {
    const isSilent = silenceTelemetry();
    const args = [WARNING, 'adakit'] as const;
    const env =
      this.onlySync === undefined ? await this.makeAsync('CreateEnv', ...args) : this.make('CreateEnv', ...args);
    // For what does not see the environment.
    if (isSilent) this.call('DisableTelemetryEvents', env);
    this.#env = env;
    return env;
  }

  /** What a status says, which is given back. */
  #failure(name: string, status: bigint | null): NativeError | undefined {
    if (status === null) return undefined;
    const error = NativeError.ofStatus(name, this.#calls.GetErrorCode(status), this.#calls.GetErrorMessage(status));
    this.#calls.ReleaseStatus(status);
    return error;
  }
}

type ReleaseCall = Exclude<CallName, CheckedCall | 'GetErrorCode' | 'GetErrorMessage'>;

type WithoutLast<T extends readonly unknown[]> = T extends readonly [...infer Rest, unknown] ? Rest : never;

/** A library that is collected is closed, and the next call into it ends the process. */
const kept: Koffi.LibraryHandle[] = [];
/** Memory that calls on other threads use: nobody else may hold it any more. */
const inFlight = new Set<readonly unknown[]>();
const libraries = new Map<string, NativeLibrary>();

/**
 * The library at a path, or the one that onnxruntime-node brings.
 *
 * @throws NativeError `unavailable` with the reason: koffi is not installed, no library for this platform, a library that
 * does not load or is too old
 */
export function nativeLibrary(path?: string): NativeLibrary {
  const found = path === undefined ? bundledLibrary() : resolve(path);
  let library = libraries.get(found);
  if (library === undefined) libraries.set(found, (library = NativeLibrary.open(found)));
  return library;
}

const FILES: Readonly<Record<string, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
};

/** Not part of onnxruntime-node's interface; a test tells when it moves. */
function bundledLibrary(): string {
  const file = FILES[process.platform] ?? 'libonnxruntime.so';
  let root: string;
  try {
    root = dirname(load.resolve('onnxruntime-node/package.json'));
  } catch {
    throw new NativeError(
      'unavailable',
      'onnxruntime-node, which brings the library, is not installed; install it, or give libraryPath',
    );
  }
  return join(root, 'bin', 'napi-v6', process.platform, process.arch, file);
}

function loadKoffi(): typeof Koffi {
  try {
    return load('koffi') as typeof Koffi;
  } catch (error) {
    throw new NativeError(
      'unavailable',
      `koffi, which the native runtime calls ONNX Runtime with, cannot be loaded (${firstLine(error)}); npm install koffi`,
      { cause: error },
    );
  }
}

/** Sizes of stacks can be set only before the first library is loaded, whoever loads it. */
function configure(koffi: typeof Koffi): string | undefined {
  const { sync_stack_size: sync = 0, async_stack_size: async = 0 } = koffi.config();
  if (sync >= STACK_BYTES && async >= STACK_BYTES) return undefined;
  try {
    koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
    return undefined;
  } catch {
    return async >= 2 ** 20
      ? undefined
      : 'another package has loaded a library through koffi before, so that stacks of other threads stay too small; ' +
          'make the session first';
  }
}

const ARGUMENTS: Readonly<Record<ArgumentKind, string>> = {
  pointer: 'void *',
  text: 'str',
  path: process.platform === 'win32' ? 'str16' : 'str',
  texts: 'const char **',
  int: 'int',
  int64: 'int64_t',
  size: 'size_t',
};
const RESULTS: Readonly<Record<ResultKind, string>> = { status: 'void *', int: 'int', text: 'str', nothing: 'void' };

function readCalls(koffi: typeof Koffi, table: bigint): Calls {
  const length = 1 + Math.max(...Object.values(API).map(([index]) => index));
  const pointers = readPointers(koffi, table, length);
  return Object.fromEntries(
    Object.entries(API).map(([name, [index, result, ...kinds]]) => [
      name,
      callable(
        koffi,
        pointers[index],
        RESULTS[result],
        kinds.map((kind) => ARGUMENTS[kind]),
      ),
    ]),
  ) as unknown as Calls;
}

function readPointers(koffi: typeof Koffi, address: bigint, count: number): readonly bigint[] {
  return [...new BigUint64Array(readBytes(koffi, address, 8 * count).buffer)];
}

/**
 * A copy of memory, by way of a view that nobody keeps. Arrays of koffi's are of 64 MiB at most, and every length of them is
 * a type that stays for ever.
 */
function readBytes(koffi: typeof Koffi, address: bigint, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(koffi.view(address, length)).slice();
}

function callable(
  koffi: typeof Koffi,
  address: bigint,
  result: string,
  args: string[],
): (...args: unknown[]) => unknown {
  return koffi.decode(address, koffi.proto(result, args)) as (...args: unknown[]) => unknown;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0];
}
