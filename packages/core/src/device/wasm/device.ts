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
  return {
    nonFinite(buffers) {
      const bad: number[] = [];
      let end = 0;
      for (let first = 0; first < buffers.length; first = end) {
        const place = memories.of(buffers[first]);
        while (end < buffers.length && memories.of(buffers[end]) === place) end++;
        const found = nonFiniteIn(place, buffers.slice(first, end), libraryOf(place));
        for (const i of found) bad.push(first + i);
      }
      return bad;
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

/** Looks at all buffers of one memory in one call, by a table of where they stand. */
function nonFiniteIn(place: KernelMemory, buffers: readonly WasmBuffer[], library: Library): number[] {
  const table = place.scratch(8 * buffers.length);
  if (table === undefined) return buffers.flatMap((buffer, i) => (allFinite(buffer.view()) ? [] : [i]));
  const words = new Int32Array(place.memory.buffer, table, 2 * buffers.length);
  buffers.forEach(({ address, length }, i) => {
    words[2 * i] = address;
    words[2 * i + 1] = 4 * length;
  });
  library.nonFinite(table, buffers.length);
  const bad: number[] = [];
  for (let i = 0; i < buffers.length; i++) if (words[2 * i] !== 0) bad.push(i);
  return bad;
}
