import type { NumericArray } from '@adakit/core';
import { Emitter, Graph, modelFromGraph, writeModel } from '@adakit/onnx';
import type { ProviderChoice } from '../provider-options.js';
import { Handle } from './handle.js';
import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';
import { NativeSession } from './native-session.js';
import { cudaCopy } from './cuda-copy.js';
import { DeviceValue, HostValue, type ElementType, type Value } from './value.js';

/** Names of devices' memories, as their providers register them. */
const MEMORIES: Readonly<Record<string, string>> = { cpu: 'Cpu', cuda: 'Cuda', webgpu: 'WebGPU_Buf' };

const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;

/** Whether tensors of a provider's sessions can be kept in its memory. */
export function hasDeviceMemory({ name }: ProviderChoice): boolean {
  return Object.hasOwn(MEMORIES, name);
}

function deviceIdOf({ options: { deviceId = 0 } }: ProviderChoice): number {
  return Number(deviceId);
}

/** A way to copy tensors between the host's memory and a device's, in either direction. */
interface CopyWay {
  readonly name: string;
  copy(pairs: readonly CopyPair[]): void;
  release(): Promise<void>;
}

type CopyPair = readonly [from: Value, to: Value];

/**
 * Memory of a provider's device. It belongs to a small session of its own, which lives as long as what is allocated.
 */
export class DeviceMemory {
  /** How tensors are copied: the first way that works here. */
  readonly copiedBy: string;
  readonly #library: NativeLibrary;
  readonly #session: NativeSession;
  readonly #memoryInfo: Handle;
  readonly #allocator: Handle;
  readonly #way: CopyWay;
  readonly #values = new Set<DeviceValue>();

  private constructor(parts: {
    readonly library: NativeLibrary;
    readonly session: NativeSession;
    readonly memoryInfo: Handle;
    readonly allocator: Handle;
    readonly way: CopyWay;
  }) {
    ({
      library: this.#library,
      session: this.#session,
      memoryInfo: this.#memoryInfo,
      allocator: this.#allocator,
      way: this.#way,
    } = parts);
    this.copiedBy = parts.way.name;
  }

  /**
   * @param types element types of the tensors that will be copied
   * @throws NativeError `unsupported` when nothing can be copied, with all that was tried
   */
  static async create(
    library: NativeLibrary,
    provider: ProviderChoice,
    types: readonly ElementType[],
  ): Promise<DeviceMemory> {
    const { name } = provider;
    if (!hasDeviceMemory(provider)) {
      throw new NativeError(
        'unsupported',
        `the memory of the execution provider '${name}' cannot be reached from here`,
      );
    }
    const id = deviceIdOf(provider);
    // Neither records kernels nor has a limit: these are for what computes. What lives as long as the session is not
    // rounded up to powers of two.
    const plain = { name, options: name === 'cuda' ? { deviceId: id, arenaExtendStrategy: 'kSameAsRequested' } : {} };
    const session = await copySession(library, plain, 'float32');
    const made: Handle[] = [];
    const keep = (handle: Handle): Handle => {
      handle.freedWhenForgotten([session.handle, ...made]);
      made.unshift(handle);
      return handle;
    };
    try {
      const info = library.make('CreateMemoryInfo', MEMORIES[name], DEVICE_ALLOCATOR, id, DEFAULT_MEMORY);
      const memoryInfo = keep(new Handle('memory information', info, library.releaseBy('ReleaseMemoryInfo')));
      const own = library.make('CreateAllocator', session.address, memoryInfo.address);
      const allocator = keep(new Handle('an allocator', own, library.releaseBy('ReleaseAllocator')));
      const way = await firstWay(library, plain, allocator, new Set(types));
      return new DeviceMemory({ library, session, memoryInfo, allocator, way });
    } catch (error) {
      for (const handle of made) handle.release();
      await session.release();
      throw error;
    }
  }

  /** A tensor of undefined content. @throws NativeError when memory does not suffice */
  allocate(type: ElementType, shape: readonly number[]): DeviceValue {
    const value = new DeviceValue(this.#library, this.#allocator, type, shape);
    this.#values.add(value);
    return value;
  }

  free(value: DeviceValue): void {
    this.#values.delete(value);
    value.release();
  }

  /** Copies elements of the host into a tensor of as many. */
  upload(view: NumericArray, to: DeviceValue): void {
    this.uploadAll([[view, to]]);
  }

  /** As {@link upload}, of several tensors, which are waited for once. */
  uploadAll(pairs: readonly (readonly [view: NumericArray, to: DeviceValue])[]): void {
    if (pairs.length === 0) return;
    const copies = pairs.map(([view, to]) => [new HostValue(this.#library, to.type, to.shape, view), to] as const);
    try {
      this.#way.copy(copies);
    } finally {
      for (const [from] of copies) from.release();
    }
  }

  /** Copies a tensor's elements into memory of the host. */
  download(from: DeviceValue, view: NumericArray): void {
    this.downloadAll([[from, view]]);
  }

  /** As {@link download}, of several tensors. */
  downloadAll(pairs: readonly (readonly [from: DeviceValue, view: NumericArray])[]): void {
    if (pairs.length === 0) return;
    const copies = pairs.map(
      ([from, view]) => [from, new HostValue(this.#library, from.type, from.shape, view)] as const,
    );
    try {
      this.#way.copy(copies);
    } finally {
      for (const [, to] of copies) to.release();
    }
  }

  /** Frees everything allocated here. Doing so again is harmless. */
  async release(): Promise<void> {
    for (const value of this.#values) value.release();
    this.#values.clear();
    this.#allocator.release();
    this.#memoryInfo.release();
    await this.#way.release();
    await this.#session.release();
  }
}

/** The first way that brings numbers to the device and back. */
async function firstWay(
  library: NativeLibrary,
  provider: ProviderChoice,
  allocator: Handle,
  types: ReadonlySet<ElementType>,
): Promise<CopyWay> {
  const ways: readonly (readonly [name: string, make: () => CopyWay | Promise<CopyWay>])[] = [
    ['CopyTensors', () => copyTensors(library)],
    ...(provider.name === 'cuda' ? [['cudaMemcpy', () => cudaCopy(library, deviceIdOf(provider))] as const] : []),
    ['a session of Identity', () => identityCopies(library, provider, new Set<ElementType>([...types, 'float32']))],
  ];
  const failures: string[] = [];
  for (const [name, make] of ways) {
    let way: CopyWay | undefined;
    try {
      way = await make();
      checkWay(library, allocator, way);
      return way;
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      await way?.release();
    }
  }
  throw new NativeError(
    'unsupported',
    `tensors cannot be copied between the host and the device of '${provider.name}'. Tried:\n  ${failures.join('\n  ')}`,
  );
}

/** @throws when numbers do not come back */
function checkWay(library: NativeLibrary, allocator: Handle, way: CopyWay): void {
  const sent = Float32Array.of(1, -2.5, 3e-30, 4e30);
  const back = new Float32Array(4);
  const values = [
    new HostValue(library, 'float32', [4], sent),
    new DeviceValue(library, allocator, 'float32', [4]),
    new HostValue(library, 'float32', [4], back),
  ] as const;
  try {
    way.copy([[values[0], values[1]]]);
    way.copy([[values[1], values[2]]]);
  } finally {
    for (const value of values) value.release();
  }
  if (back.some((number, i) => number !== sent[i])) {
    throw new NativeError('fail', `sent ${sent.join(', ')}, got ${back.join(', ')} back`);
  }
}

/** What the library itself offers, where the provider has registered for it. */
async function copyTensors(library: NativeLibrary): Promise<CopyWay> {
  const env = await library.ready;
  return {
    name: 'CopyTensors',
    copy(pairs) {
      const [from, to] = [0, 1].map((side) => BigUint64Array.from(pairs, (pair) => pair[side].address));
      library.call('CopyTensors', env, from, to, null, pairs.length);
    },
    release: () => Promise.resolve(),
  };
}

/** Runs that compute nothing: the library brings inputs and outputs to where they belong. Works with every provider. */
async function identityCopies(
  library: NativeLibrary,
  provider: ProviderChoice,
  types: ReadonlySet<ElementType>,
): Promise<CopyWay> {
  const sessions = new Map<ElementType, NativeSession>();
  for (const type of types) sessions.set(type, await copySession(library, provider, type));
  return {
    name: 'a session of Identity',
    copy(pairs) {
      for (const [from, to] of pairs) {
        const session = sessions.get(from.type);
        if (session === undefined)
          throw new NativeError('unsupported', `no session was made to copy ${from.type} with`);
        const address = library.make('CreateIoBinding', session.address);
        const options = library.make('CreateRunOptions');
        try {
          library.call('BindInput', address, 'from', from.address);
          library.call('BindOutput', address, 'to', to.address);
          library.call('RunWithBinding', session.address, options, address);
        } finally {
          library.release('ReleaseRunOptions', options);
          library.release('ReleaseIoBinding', address);
        }
      }
    },
    async release() {
      for (const session of sessions.values()) await session.release();
    },
  };
}

/** A session whose output is its input, of any shape. */
function copySession(library: NativeLibrary, provider: ProviderChoice, dtype: ElementType): Promise<NativeSession> {
  const graph = new Graph('copy');
  const from = graph.addInput('from', { dtype, shape: undefined });
  // Nothing is known of shapes, and nothing has to be.
  const to = new Emitter(graph).node('Identity', [from]);
  to.dtype = dtype;
  graph.rename(to, 'to');
  graph.outputs.push(to);
  return NativeSession.create(library, writeModel(modelFromGraph(graph)), provider, {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
}
