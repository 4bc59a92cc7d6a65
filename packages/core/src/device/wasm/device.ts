import { AdakitError } from '../../errors.js';
import type { Device } from '../device.js';
import { allFinite } from '../host-memory.js';
import { Arena, type WasmBuffer } from './arena.js';
import { wasmKernel, type KernelMemories, type KernelMemory, type Library } from './kernel.js';
import { libraryBytes } from './library.js';
import { webAssembly } from './webassembly.js';

/** How {@link wasmDevice} takes memory. */
export interface WasmDeviceOptions {
  /** Bytes of one memory, after which another is begun. Default: 4 GiB, all that a memory can have. */
  readonly memoryLimit?: number;
}

/**
 * Fused SIMD loops over WebAssembly memory, with the results of the float32 reference to the last bit. The memory is
 * ordinary, not shared: ONNX Runtime reads and writes views of it without a copy.
 *
 * @throws where WebAssembly with SIMD is missing or forbidden, see {@link wasmAvailable}
 */
export function wasmDevice({ memoryLimit }: WasmDeviceOptions = {}): Device<WasmBuffer> {
  const arena = new Arena(memoryLimit);
  const kernels = kernelsIn({
    of: (buffer) => arena.blockOf(buffer),
    workspace: (bytes) => arena.workspace(bytes),
  });
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

function kernelsIn(memories: KernelMemories): WasmKernels {
  const module = new (webAssembly().Module)(libraryBytes());
  const libraries = new Map<KernelMemory, Library>();
  const libraryOf = (place: KernelMemory): Library => {
    let library = libraries.get(place);
    if (library === undefined) {
      const { exports } = new (webAssembly().Instance)(module, { e: { m: place.memory } });
      libraries.set(place, (library = exports as unknown as Library));
    }
    return library;
  };
  /** Lists that are asked for again, step by step. */
  const tables = new WeakMap<readonly WasmBuffer[], readonly FiniteTable[]>();
  return {
    nonFinite(buffers) {
      let known = tables.get(buffers);
      if (known === undefined) tables.set(buffers, (known = finiteTables(buffers, memories)));
      return known.flatMap((table) => nonFiniteIn(table, libraryOf(table.place)));
    },
    compile: (program) => wasmKernel(program, memories, libraryOf),
  };
}

/** Whether {@link wasmDevice} works here: WebAssembly may lack SIMD, or a content security policy may forbid it. */
export function wasmAvailable(): boolean {
  try {
    return new (webAssembly().Module)(libraryBytes()) instanceof Object;
  } catch {
    return false;
  }
}

/** Buffers of one memory that follow each other in a list, and where they stand. */
interface FiniteTable {
  readonly place: KernelMemory;
  /** Position of the first in the list. */
  readonly first: number;
  readonly buffers: readonly WasmBuffer[];
  /** Address and bytes of each. */
  readonly words: Int32Array;
}

function finiteTables(buffers: readonly WasmBuffer[], memories: KernelMemories): FiniteTable[] {
  const tables: FiniteTable[] = [];
  let end = 0;
  for (let first = 0; first < buffers.length; first = end) {
    const place = memories.of(buffers[first]);
    while (end < buffers.length && memories.of(buffers[end]) === place) end++;
    const own = buffers.slice(first, end);
    const words = Int32Array.from(own.flatMap(({ address, length }) => [address, 4 * length]));
    tables.push({ place, first, buffers: own, words });
  }
  return tables;
}

/** The positions in the list of those that are not finite: one call for all. */
function nonFiniteIn({ place, first, buffers, words }: FiniteTable, library: Library): number[] {
  const at = place.scratch(words.byteLength);
  if (at === undefined) return buffers.flatMap((buffer, i) => (allFinite(buffer.view()) ? [] : [first + i]));
  const table = new Int32Array(place.memory.buffer, at, words.length);
  table.set(words);
  library.nonFinite(at, buffers.length);
  const bad: number[] = [];
  for (let i = 0; i < buffers.length; i++) if (table[2 * i] !== 0) bad.push(first + i);
  return bad;
}
