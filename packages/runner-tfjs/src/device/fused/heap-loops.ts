import { wasmKernelsIn, type Binding, type KernelMemory, type WasmBuffer, type WasmMemory } from '@adakit/core';
import { engine, type KernelBackend, type Tensor, type TensorInfo, type Variable } from '@tensorflow/tfjs-core';
import type { Cell } from '../cell.js';
import { ownedBy, variableOf } from './contents.js';
import type { Loops } from '../loops.js';

/** What the wasm backend of TensorFlow.js has beyond the interface of all backends. */
interface WasmBackend {
  readonly wasm: {
    readonly HEAPU8: Uint8Array;
    readonly asm?: { readonly memory?: WasmMemory };
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: { get(dataId: object): { memoryOffset: number } };
  refCount(dataId: object): number;
  makeOutput(shape: readonly number[], dtype: 'float32', memoryOffset: number): TensorInfo;
}

/**
 * Loops over the memory of the wasm backend, where its tensors are.
 *
 * @throws Error for a backend that is another inside
 */
export function heapLoops(backend: KernelBackend): Loops {
  if (!('wasm' in backend && 'dataIdMap' in backend && 'makeOutput' in backend)) {
    throw new Error('this version of the wasm backend keeps its memory elsewhere');
  }
  const heap = backend as unknown as WasmBackend;
  const { wasm, dataIdMap } = heap;
  const memory = wasm.asm?.memory;
  if (memory === undefined || !(memory.buffer instanceof ArrayBuffer)) {
    throw new Error('the wasm backend runs with threads, whose shared memory the kernels do not take');
  }
  /** Data with room behind its elements. */
  const roomy = new WeakSet<object>();
  const tensorAt = (address: number, shape: readonly number[]): Tensor => {
    const made = engine().makeTensorFromTensorInfo(heap.makeOutput(shape, 'float32', address));
    roomy.add(made.dataId);
    return made;
  };
  const kernels = wasmKernelsIn(scratchIn(wasm, memory));
  const owner = {};

  const bufferOf = (tensor: Tensor): WasmBuffer => {
    const address = dataIdMap.get(tensor.dataId).memoryOffset;
    return {
      memory,
      address,
      length: tensor.size,
      view: () => new Float32Array(memory.buffer, address, tensor.size),
    };
  };
  /** Kernels write whole vectors, so what they write needs more room than its elements. */
  const copyOf = (source: Tensor): Tensor => {
    const address = allocate(wasm, Math.ceil(source.size / 4) * 16 + SLACK);
    const from = dataIdMap.get(source.dataId).memoryOffset;
    wasm.HEAPU8.copyWithin(address, from, from + 4 * source.size);
    return tensorAt(address, source.shape);
  };
  /**
   * Another tensor over a variable's memory, which the variable has to be assigned before anybody looks. The backend keeps
   * packed weights by the identity of data: data that changes must not stay the same.
   */
  const takeOver = (variable: Variable): Tensor | undefined => {
    const { dataId, shape } = variable;
    if (!roomy.has(dataId) || heap.refCount(dataId) !== 1) return undefined;
    const data = dataIdMap.get(dataId);
    const taken = tensorAt(data.memoryOffset, shape);
    // To free nothing is allowed.
    data.memoryOffset = 0;
    return taken;
  };

  return {
    masks: false,
    nonFinite: (cells) => kernels.nonFinite(cells.map((cell) => bufferOf(cell.glance([cell.length])))),
    compile(program) {
      const kernel = kernels.compile(program);
      const outputs = new Set(Object.keys(program.outputs));
      return (bindings, scalars) => {
        const written: [Cell, Tensor][] = [];
        // A cell that several parameters share (a total) is made once.
        const made = new Map<Cell, Tensor>();
        const tensorFor = (cell: Cell, writes: boolean): Tensor => {
          const known = ownedBy(owner, cell) ?? made.get(cell);
          if (known !== undefined) return known;
          if (!writes) return cell.glance([cell.length]);
          const variable = variableOf(cell);
          const target = (variable && takeOver(variable)) ?? copyOf(cell.glance([cell.length]));
          made.set(cell, target);
          written.push([cell, target]);
          return target;
        };
        try {
          const bound = bindings.map(({ buffers, ...place }): Binding<WasmBuffer> => ({
            ...place,
            buffers: Object.fromEntries(
              Object.entries(buffers).map(([name, cell]) => [name, bufferOf(tensorFor(cell, outputs.has(name)))]),
            ),
          }));
          void kernel.bind(bound).run(scalars);
        } finally {
          // In any case: a variable whose memory has been taken over has none.
          for (const [cell, tensor] of written) cell.set(tensor, owner);
        }
      };
    },
  };
}

/** How far kernels may look beyond the end of a buffer. */
const SLACK = 32;

function scratchIn(wasm: WasmBackend['wasm'], memory: WasmMemory): KernelMemory {
  let [address, size] = [0, 0];
  return {
    memory,
    scratch(bytes) {
      if (bytes > size) {
        if (size > 0) wasm._free(address);
        [address, size] = [allocate(wasm, bytes + SLACK), bytes];
      }
      return address;
    },
  };
}

function allocate(wasm: WasmBackend['wasm'], bytes: number): number {
  // Addresses of the upper half come as negative numbers.
  const address = wasm._malloc(bytes) >>> 0;
  if (address === 0) throw new Error(`the wasm backend of TensorFlow.js has no room for ${bytes} bytes`);
  return address;
}
