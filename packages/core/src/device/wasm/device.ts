import { AdakitError, keysProblem, kindOf, shown } from '../../errors.js';
import type { Device } from '../device.js';
import { allFinite } from '../host-memory.js';
import { Arena, size, type WasmBuffer } from './arena.js';
import type { Library } from './instance.js';
import { wasmKernel } from './kernel.js';
import { libraryBytes } from './library.js';
import type { KernelMemories, KernelMemory } from './memories.js';
import { callsOf, makeCalls, shares, type KernelThreads } from './threads.js';
import { webAssembly } from './webassembly.js';

/** How {@link wasmDevice} takes memory. */
export interface WasmDeviceOptions {
  /** Bytes of one memory, after which another is begun. Default: 4 GiB, all that a memory can have. */
  readonly memoryLimit?: number;
  /**
   * Threads to share long arrays with, in shared memory, which not everything takes that takes ordinary one. Results are
   * the same to the last bit. Default: none.
   */
  readonly threads?: KernelThreads;
}

/**
 * Fused SIMD loops over WebAssembly memory, with the results of the float32 reference to the last bit. Without
 * `threads` the memory is ordinary, not shared: onnxruntime-node reads and writes views of it without a copy.
 *
 * @throws where WebAssembly with SIMD is missing or forbidden, see {@link wasmAvailable}
 */
export function wasmDevice(options: WasmDeviceOptions = {}): Device<WasmBuffer> {
  requireWasmOptions('wasmDevice()', options);
  const { memoryLimit, threads } = options;
  const arena = new Arena(memoryLimit, threads !== undefined);
  const memories = {
    of: (buffer: WasmBuffer) => arena.blockOf(buffer),
    workspace: (bytes: number) => arena.workspace(bytes),
  };
  const kernels = kernelsIn(memories, threads);
  return {
    name: 'wasm',
    precision: 'float32',
    allocate: (lengths) => arena.allocate(lengths),
    write(buffer, values) {
      if (typeof values === 'number') buffer.view().fill(values);
      else buffer.view().set(values);
    },
    copy(from, to) {
      to.view().set(from.view());
    },
    read: (buffer) => buffer.view().slice(),
    free(buffers) {
      arena.free(buffers);
    },
    ...kernels,
  };
}

/** @throws AdakitError `invalid-plan` for options that there are not, or of another kind */
export function requireWasmOptions(what: string, options: WasmDeviceOptions): void {
  const { memoryLimit, threads } = Object(options) as Readonly<Record<keyof WasmDeviceOptions, unknown>>;
  const problem =
    keysProblem('option', options, ['memoryLimit', 'threads']) ??
    (memoryLimit === undefined || (typeof memoryLimit === 'number' && memoryLimit > 0)
      ? threads !== undefined &&
        typeof (Object(threads) as Partial<KernelThreads>).run !== 'function' &&
        `threads must be KernelThreads, got ${kindOf(threads)}`
      : `memoryLimit must be a number of bytes, got ${shown(memoryLimit)}`);
  if (problem) throw new AdakitError('invalid-plan', `${what}: ${problem}`);
}

/** What a device does beside keeping memory. */
export type WasmKernels = Pick<Device<WasmBuffer>, 'compile'> & {
  nonFinite(buffers: readonly WasmBuffer[]): number[];
};

/**
 * The kernels of {@link wasmDevice} in a memory that belongs to another WebAssembly program, which keeps its buffers. Every
 * buffer must be followed by 32 bytes of the memory; one that a kernel writes must have its length to itself up to the next
 * multiple of four elements, and at least four.
 *
 * @param place scratch memory is kept for the kernels as long as they are used
 */
export function wasmKernelsIn(place: KernelMemory): WasmKernels {
  return kernelsIn({
    of: () => place,
    workspace: (bytes) => {
      throw new AdakitError(
        'out-of-memory',
        `a step needs ${bytes} bytes more of a WebAssembly memory that has no room`,
      );
    },
  });
}

function kernelsIn(memories: KernelMemories, threads?: KernelThreads): WasmKernels {
  const module = new (webAssembly().Module)(libraryBytes(threads !== undefined));
  const libraries = new WeakMap<KernelMemory, Library>();
  const libraryOf = (place: KernelMemory): Library => {
    let library = libraries.get(place);
    if (library === undefined) {
      const { exports } = new (webAssembly().Instance)(module, { e: { m: place.memory } });
      const code = { module, memory: place.memory, name: 'nonFinite' };
      libraries.set(place, (library = { ...(exports as unknown as Omit<Library, 'code'>), code }));
    }
    return library;
  };
  /** Lists that are asked for again, step by step. */
  const tables = new WeakMap<readonly WasmBuffer[], readonly FiniteTable[]>();
  return {
    nonFinite(buffers) {
      let known = tables.get(buffers);
      if (known === undefined) tables.set(buffers, (known = finiteTables(buffers, memories)));
      const bad = known.flatMap((table) => nonFiniteIn(table, libraryOf(table.place), threads));
      return bad.sort((a, b) => a - b);
    },
    compile: (program) => wasmKernel(program, memories, libraryOf, threads),
  };
}

/** Whether {@link wasmDevice} works here: WebAssembly may lack SIMD, or a content security policy may forbid it. */
export function wasmAvailable(): boolean {
  try {
    return new (webAssembly().Module)(libraryBytes(false)) instanceof Object;
  } catch {
    return false;
  }
}

/** Buffers of one memory, in order of their addresses. */
interface FiniteTable {
  readonly place: KernelMemory;
  readonly buffers: readonly WasmBuffer[];
  /** The position of each in the list that was given. */
  readonly positions: readonly number[];
  /** Where each range of buffers that stand side by side begins among them. */
  readonly starts: readonly number[];
  /** Address and bytes of each range; what fills a buffer up to whole vectors counts, but for the last. */
  readonly ranges: Int32Array;
}

function finiteTables(buffers: readonly WasmBuffer[], memories: KernelMemories): FiniteTable[] {
  const places = new Map<KernelMemory, number[]>();
  buffers.forEach((buffer, position) => {
    const place = memories.of(buffer);
    const known = places.get(place);
    if (known === undefined) places.set(place, [position]);
    else known.push(position);
  });
  return [...places].map(([place, unordered]) => {
    const positions = unordered.sort((a, b) => buffers[a].address - buffers[b].address);
    const own = positions.map((position) => buffers[position]);
    const starts = own.flatMap(({ address }, i) => {
      const before = own[i - 1];
      return i > 0 && address === before.address + size(before.length) ? [] : [i];
    });
    const ranges = starts.flatMap((start, r) => {
      const { address } = own[start];
      const last = own[(starts.at(r + 1) ?? own.length) - 1];
      return [address, last.address + 4 * last.length - address];
    });
    return { place, buffers: own, positions, starts, ranges: Int32Array.from(ranges) };
  });
}

/** The positions in the list of those that are not finite. Ranges first: they are one call, and mostly all there is to do. */
function nonFiniteIn(
  { place, buffers, positions, starts, ranges }: FiniteTable,
  library: Library,
  threads: KernelThreads | undefined,
): number[] {
  const bad = flagged(ranges, place, library, threads)?.flatMap((r) => {
    const end = starts.at(r + 1) ?? buffers.length;
    return Array.from({ length: end - starts[r] }, (_, i) => starts[r] + i);
  });
  const suspects = bad ?? [...buffers.keys()];
  return suspects.filter((i) => !allFinite(buffers[i].view())).map((i) => positions[i]);
}

/** Which ranges hold something that is not finite; `undefined` where there is no memory for the question. */
function flagged(
  ranges: Int32Array,
  place: KernelMemory,
  library: Library,
  threads: KernelThreads | undefined,
): number[] | undefined {
  const lengths = Array.from({ length: ranges.length / 2 }, (_, r) => ranges[2 * r + 1] / 4);
  const parts = shares(lengths, threads);
  const indices = parts.flatMap((list) => list.map(({ index }) => index));
  const at = place.scratch(8 * indices.length);
  if (at === undefined) return undefined;
  const table = new Int32Array(place.memory.buffer, at, 2 * indices.length);
  table.set(parts.flat().flatMap(({ index, from, to }) => [ranges[2 * index] + 4 * from, 4 * (to - from)]));
  makeCalls(callsOf(parts, at, 8), library.nonFinite, library.code, threads);
  return [...new Set(indices.filter((_, i) => table[2 * i] !== 0))];
}
